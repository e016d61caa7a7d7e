"""Logits of pixels, from label maps to records: mIoU, sizes, DFAD's loss, a run."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from dfkd_lib import distill, load_foreign, run
from dfkd_lib.data import RELATED, VOID, Dataset, Images, load_dataset, load_images
from dfkd_lib.data.images import augment
from dfkd_lib.distillation.fresh import seen
from dfkd_lib.distillation.networks import check_maps_on
from dfkd_lib.errors import UserError
from dfkd_lib.models import build, embedding_and_logits
from dfkd_lib.recipes import recipe_for
from dfkd_lib.teachers import Teacher, confusion, miou, segmentation
from dfkd_lib.teachers.training import focal

# --- metrics --------------------------------------------------------------------------


def counted(y, answers, classes):
    """mIoU by sets of pixels, one class after the other; void pixels are in none."""
    found, known = [], y != VOID
    for c in range(classes):
        labelled, named = (y == c) & known, (answers == c) & known
        if (labelled | named).any():
            found.append((labelled & named).sum() / (labelled | named).sum())
    return 100 * np.mean(found)


def test_miou_is_that_of_an_independent_computation():
    random = np.random.default_rng(0)
    for classes in (2, 5, 21):
        y = random.integers(0, classes, (3, 8, 9)).astype(np.uint8)
        y[random.random(y.shape) < 0.3] = VOID
        answers = random.integers(0, max(classes - 1, 2), y.shape)
        matrix = confusion(torch.tensor(y), torch.tensor(answers), classes)
        assert matrix.sum() == (y != VOID).sum()
        assert miou(matrix) == pytest.approx(counted(y, answers, classes))


class Fixed(nn.Module):
    """The same logits for all images of its size."""

    def __init__(self, logits):
        super().__init__()
        self.register_buffer("logits", logits)

    def forward(self, x):
        return self.logits.expand(len(x), -1, -1, -1)


def labelled(n=20, side=8, classes=3, seed=0):
    random = np.random.default_rng(seed)
    x = random.integers(0, 256, (n, side, side, 3)).astype(np.uint8)
    y = random.integers(0, classes, x.shape[:3]).astype(np.uint8)
    y[random.random(y.shape) < 0.2] = VOID
    y[0, 0, 0] = classes - 1
    return Dataset("own", x, y, x, y, (0.5,) * 3, (0.25,) * 3)


def test_whole_images_are_scored_batch_by_batch():
    data = labelled()
    torch.manual_seed(0)
    networks = [Fixed(torch.randn(1, 3, 8, 8)) for _ in range(2)]
    found = segmentation(*networks, Images.of(data, "cpu"), batch=7)
    student, teacher = (n.logits.argmax(1).numpy().repeat(20, 0) for n in networks)
    known = data.y_train != VOID
    right = (student == data.y_train)[known].mean()
    assert found.accuracy == pytest.approx(100 * right, abs=1e-4)
    assert found.miou == pytest.approx(counted(data.y_train, student, 3))
    assert found.agreement == pytest.approx(100 * (student == teacher).mean(), abs=1e-4)


# --- networks -------------------------------------------------------------------------


def papers_flops(network, x):
    """Multiply-adds, bias additions, four a BatchNorm's element (FACTS of DFAD)."""
    found = []

    def count(layer, _, output):
        n = output.numel()
        norm = isinstance(layer, nn.BatchNorm2d)
        each = 4 if norm else layer.weight[0].numel() + (layer.bias is not None)
        found.append(n * each)

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.BatchNorm2d):
            layer.register_forward_hook(count)
    network(x)
    return sum(found)


@pytest.mark.parametrize(
    ("name", "parameters", "flops"),
    [
        ("deeplabv3_resnet50", 39_636_299, 41_030_529_024),
        ("deeplabv3_mobilenetv2", 5_111_307, 5_544_314_880),
    ],
)
def test_the_papers_networks_have_its_sizes(name, parameters, flops):
    with torch.device("meta"):
        network = build(name, 11).eval()
        assert sum(p.numel() for p in network.parameters()) == parameters
        assert papers_flops(network, torch.zeros(1, 3, 256, 256)) == flops


@pytest.mark.parametrize("name", ["deeplab_small", "deeplab_small_half"])
def test_logits_have_the_images_size(name):
    network, x = build(name, 11).eval(), torch.randn(2, 3, 40, 56)
    with torch.no_grad():
        seen, logits = network.stages(x), network(x)
        maps, same = embedding_and_logits(network, x)
    assert logits.shape == (2, 11, 40, 56) and maps.shape[2:] == (5, 7)
    torch.testing.assert_close(seen.logits, logits)
    torch.testing.assert_close(same, logits)


# --- losses ---------------------------------------------------------------------------


def test_the_focal_loss_leaves_void_pixels_out():
    logits = torch.tensor([[[[0.0, 3.0]], [[0.0, -3.0]]]], requires_grad=True)
    y = torch.tensor([[[0, VOID]]])
    loss = focal(logits, y, 2.0)  # p = 1/2 at the only pixel
    assert loss.item() == pytest.approx(0.25 * np.log(2))
    loss.backward()
    assert not logits.grad[..., 1].any() and logits.grad[..., 0].all()
    assert focal(logits, y, 0.0).item() == pytest.approx(np.log(2))


# --- data -----------------------------------------------------------------------------


def test_maps_are_cropped_and_flipped_as_their_images():
    x = torch.arange(10 * 12, dtype=torch.uint8).view(1, 1, 10, 12).repeat(6, 3, 1, 1)
    images = Images(x, x[:, 0], torch.zeros(3, 1, 1), torch.ones(3, 1, 1), {})
    usual = {"pad": 0, "mode": "replicate", "flip": True, "crop": 5}
    random = torch.Generator().manual_seed(0)
    batch, y = images.labelled(torch.arange(6), random, **usual)
    assert batch.shape == (6, 3, 5, 5) and len({*y[:, 0, 0].tolist()}) > 2
    torch.testing.assert_close((batch[:, 0] * 255).round().long(), y)
    flips = (y[:, 0, 1] - y[:, 0, 0]).tolist()
    assert {*flips} == {1, -1} and (y[:, 1] - y[:, 0] == 12).all()
    with pytest.raises(RuntimeError):
        augment(x, random, **usual | {"crop": 20})


def test_scenes_are_exact_and_always_the_same():
    data, again = load_dataset("scenes"), load_dataset("scenes")
    assert np.array_equal(data.x_test, again.x_test)
    assert data.num_classes == 11 and data.shape == (3, 48, 48)
    assert {*np.unique(data.y_train)} == {*range(11), VOID}
    for y in data.y_test:  # every even digit's sign has the next odd one beside it
        counts = np.bincount(y[y < VOID], minlength=11)[1:]
        assert (counts[::2] == counts[1::2]).all()


def test_an_npz_with_a_class_named_void(tmp_path, monkeypatch):
    monkeypatch.setenv("DFKD_DATA", str(tmp_path))
    data = labelled(side=40)
    y = np.where(data.y_train == VOID, 3, data.y_train)
    parts = {"x_train": data.x_train, "y_train": y, "x_test": data.x_train, "y_test": y}
    np.savez(tmp_path / "own.npz", **parts, classes=np.array(["a", "b", "c", "void"]))
    found = load_dataset("own")
    assert np.array_equal(found.y_train, data.y_train) and found.classes == (*"abc",)
    assert found.num_classes == 3 and found.crop == 32
    np.savez(tmp_path / "own.npz", **parts | {"y_test": y[:, :-1]})
    with pytest.raises(UserError, match=r"y_test is .* whole number for each pixel"):
        load_dataset("own")


def write_pairs(folder, x, y):
    for kind, pictures in (("images", x), ("masks", y)):
        (folder / kind).mkdir(parents=True)
        for k, picture in enumerate(pictures):
            Image.fromarray(picture).save(folder / kind / f"{k:02}.png")


def test_folders_of_images_and_masks(tmp_path, monkeypatch):
    monkeypatch.setenv("DFKD_DATA", str(tmp_path))
    data = labelled(n=4, side=48)
    for part in ("train", "val"):
        write_pairs(tmp_path / "own" / part, data.x_train, data.y_train)
    (tmp_path / "own" / "train" / "instances").mkdir()  # is no class
    found = load_dataset("own")
    assert np.array_equal(found.x_test, data.x_test) and found.crop == 32
    assert np.array_equal(found.y_train, data.y_train)
    masks = tmp_path / "own" / "val" / "masks"
    Image.fromarray(data.y_train[0][:40]).save(masks / "03.png")
    with pytest.raises(UserError, match="03.png has 48×40 pixels, .* 48×48"):
        load_dataset("own")
    (masks / "03.png").unlink()
    Image.fromarray(data.y_train[0]).save(masks / "03.jpg")
    with pytest.raises(UserError, match="JPEG changes labels"):
        load_dataset("own")
    (masks / "03.jpg").unlink()
    with pytest.raises(UserError, match="images and masks differ, as in 03"):
        load_dataset("own")


# --- runs -----------------------------------------------------------------------------

TINY = {"generator_width": 2, "z_dim": 6, "batch": 4, "student_batch": 4, "stages": 4}
TINY |= {"student_steps": 2, "stages_per_epoch": 2}


def tiny(method, **changes):
    recipe = recipe_for("scenes", method)
    own = {n: v for n, v in TINY.items() if n in recipe.values()}
    return recipe.replace(**own | changes)


@pytest.fixture(scope="module")
def scenes():
    data = load_dataset("scenes")
    return replace(data, x_test=data.x_test[:8], y_test=data.y_test[:8])


@pytest.fixture(scope="module")
def guide():
    torch.manual_seed(0)
    network = build("deeplab_small", 11).eval().requires_grad_(False)
    return Teacher("deeplab_small", network, None, "0" * 64)


@pytest.mark.parametrize("method", run.DENSE)
def test_every_method_for_pixels_runs(method, scenes, guide, tmp_path, monkeypatch):
    changes = {"memory": 8} if method == "dfkd_mem" else {}
    if method == "kd_rel":  # scenes are related to nothing that ships
        monkeypatch.setitem(RELATED, "scenes", ("digits",))
    done = run.run(tiny(method, **changes), scenes, guide)
    made, last = done.record, done.history.miou[-1]
    assert made["miou_last"] == last <= made["miou_best"] and made["flop"] > 0
    assert 0 <= made["teacher_miou"] <= 100 and len(made["history"]["miou"]) == 2
    assert segmentation(
        done.student, guide.network, Images.of(scenes, "cpu", "test")
    ).miou == pytest.approx(last)


def test_a_stopped_run_resumes_to_the_same_bits(scenes, guide, tmp_path):
    recipe = tiny("dfad", generator_share=0.5)

    def weights(done):
        return [v.tolist() for v in done.student.state_dict().values()]

    whole = run.run(recipe, scenes, guide)

    def stop(state):
        if state.stage == 3:  # just after the new student has begun
            raise KeyboardInterrupt

    options = {"folder": tmp_path, "every": 1}
    with pytest.raises(KeyboardInterrupt):
        run.run(recipe, scenes, guide, observe=stop, **options)
    again = run.run(recipe, scenes, guide, resume=True, **options)
    assert again.history.resumed == [2] and weights(again) == weights(whole)
    assert again.history.miou == whole.history.miou


def test_a_fixed_generator_and_its_new_student(scenes, guide):
    """DFAD Section 4.3: after half of the stages G stays, and S begins again."""
    recipe = tiny("dfad", generator_share=0.5)
    first = run.begin(recipe, guide.network, scenes).student.state_dict()
    state, settings, seen = (
        run.begin(recipe, guide.network, scenes),
        recipe.settings,
        [],
    )
    for state.stage in (1, 2, 3):
        players = {player for player, _ in settings.stage(state).updates}
        seen.append(([p.clone() for p in state.generator.parameters()], players))
    (_, both), (before, _), (after, alone) = seen
    assert both == {"generator", "student"} and alone == {"student"}
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(
        torch.equal(first[n], p) for n, p in state.new_student.state_dict().items()
    )


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"method": "at"}, "method for label maps: 'at' is not known"),
        ({"pair": "deeplab_small-wrn16_1"}, "wrn16_1 takes images of 3×32×32, "
         "but scenes has 3×96×96 with labels of pixels"),
        ({"dataset": "digits", "pair": "lenet5-deeplab_small"}, "labels of images"),
        ({"method": "mad", "set": "conditional=True"}, "conditional: an image has no one label"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_a_line(asked, told, capsys, tmp_path):
    asked = {"method": "dfad", "dataset": "scenes", "output_dir": str(tmp_path)} | asked
    words = [w for n, v in asked.items() for w in (f"--{n.replace('_', '-')}", v)]
    assert run.main(words) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1


def test_on_a_cpu_street_scenes_get_a_quarter_of_an_hour(monkeypatch):
    monkeypatch.setattr(run, "schedule_flop", lambda recipe, *_: 1e15)  # of any recipe
    recipe = run.recipe_within("auto", "camvid", "dfad", "cpu")
    made, told = run.apply_budget("auto", recipe, "cpu")
    assert made.pair == "deeplab_small-deeplab_small_half"
    assert told.startswith(f"0.03 PFLOP: {0.03 * recipe.settings.stages:.0f} stages")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"y_test": np.zeros(2, int)}, "one of y_train and y_test has labels of pixels"),
        ({"y_test": np.full((2, 8, 8), VOID)}, "y_test has no pixel with a class"),
        ({"y_train": np.full((2, 8, 8), 256)}, "to 256; give 0 to 254, and 255 for void"),
        ({"y_train": 255 * np.eye(8, dtype=int)[None].repeat(2, 0)},
         r"one class \(in label maps, 255 is void\)"),
    ],
)  # fmt: skip
def test_maps_that_cannot_be_used_are_refused(changed, told, tmp_path, monkeypatch):
    x, y = np.zeros((2, 8, 8, 3), np.uint8), np.arange(128).reshape(2, 8, 8) % 3
    x[0] = 9
    arrays = {"x_train": x, "y_train": y, "x_test": x, "y_test": y} | changed
    np.savez(tmp_path / "own.npz", **arrays)
    monkeypatch.setenv("DFKD_DATA", str(tmp_path))
    with pytest.raises(UserError, match=told):
        load_dataset("own")


def test_a_teacher_of_images_is_refused_for_maps(scenes):
    teacher = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 11))
    with pytest.raises(UserError, match="scenes's labels need n×11×48×48"):
        load_foreign(teacher, scenes)


# --- distill --------------------------------------------------------------------------


def test_classes_of_pixels_are_counted():
    answers = torch.zeros(6, 4, 5, 5)
    answers[:, 1, :2] = answers[:, 3, 2:] = 1
    classes, effective = seen(answers)
    shares = np.array([2, 3]) / 5
    assert classes == 2
    assert effective == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))


class Net(nn.Module):
    """A small network that answers as torchvision's do: a mapping."""

    def __init__(self, width):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, 4, 3, 1, 1),
        )  # fmt: skip

    def forward(self, x):
        return {"out": F.interpolate(self.layers(x), x.shape[2:], mode="bilinear")}


SMALL = {"input_shape": (3, 16, 24), "num_classes": 4, "mean": (0.5,) * 3}
SMALL |= {"std": (0.25,) * 3, "logits": "out", "method": "dfad", "stages": 2}
SMALL |= {"generator_width": 2, "batch": 4, "student_batch": 4, "device": "cpu"}
SMALL |= {"generator_loss": "log_mae"}


@pytest.mark.slow
def test_a_segmentation_network_is_distilled_and_exported(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    done = distill(Net(8), Net(4), output_dir=tmp_path, **SMALL)
    scores = done.report["synthetic"]
    assert 0 < scores["miou"] <= 100 and 0 < scores["agreement"] <= 100
    assert json.loads(done.files["report"].read_text())["synthetic"] == scores
    Net(4).load_state_dict(load_file(done.files["weights"]))  # as its card says
    x = torch.randn(5, 3, 16, 24)
    session = onnxruntime.InferenceSession(done.files["onnx"].read_bytes())
    program = torch.export.load(done.files["torch.export"]).module()
    with torch.no_grad():
        own = done.student(x)
        by_onnx = torch.tensor(session.run(None, {"images": x.numpy()})[0])
        for other in (by_onnx, program(x)):
            assert own.shape == (5, 4, 16, 24)
            assert (other.argmax(1) == own.argmax(1)).all()
            torch.testing.assert_close(other, own, rtol=1e-3, atol=1e-4)


def test_a_student_of_images_cannot_follow_a_teacher_of_pixels(tmp_path):
    student = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 24, 4))
    told = "student: its logits have shape (4, 4), the teacher's (4, 4, 16, 24)"
    with pytest.raises(UserError, match=re.escape(told)):
        distill(Net(8), student, output_dir=tmp_path, **SMALL)


# --- distill's check ------------------------------------------------------------------


def test_both_networks_are_checked_on_label_maps(tmp_path):
    """The middle of the images is taken, as they are wider than the networks' input."""
    random, file = np.random.default_rng(1), tmp_path / "check.npz"
    x = random.integers(0, 256, (19, 16, 30, 3)).astype(np.uint8)
    y = random.integers(0, 3, x.shape[:3]).astype(np.uint8)  # nobody's: class 3
    y[random.random(y.shape) < 0.2] = VOID
    y[:, :, :3] = y[:, :, 27:] = VOID  # what is cut off
    np.savez(file, x=x, y=y.astype(np.int64))
    torch.manual_seed(0)
    teacher, options = Net(8).eval(), SMALL | {"onnx": False, "check": file}
    done = distill(teacher, Net(4), output_dir=tmp_path / "own", **options)
    found, known = done.report["check"], y[:, :, 3:27]
    seen = torch.from_numpy(x[:, :, 3:27] / 255).float().permute(0, 3, 1, 2)
    seen = (seen - 0.5) / 0.25
    with torch.no_grad():
        named = {"teacher": teacher(seen)["out"], "student": done.student(seen)}
    named = {who: logits.argmax(1).numpy() for who, logits in named.items()}
    for who, answers in named.items():
        right = 100 * (answers == known)[known != VOID].mean()
        share = counted(known, answers, 4)
        assert found[f"{who}_accuracy"] == pytest.approx(right, abs=1e-4)
        assert found[f"{who}_miou"] == pytest.approx(share, abs=1e-4)
    same = 100 * (named["teacher"] == named["student"]).mean()
    assert found["agreement"] == pytest.approx(same, abs=1e-4)
    assert found["images"] == 19 and found["kl"] > 0 and len(found) == 7
    assert "student_miou" in done.files["card"].read_text()
    write_pairs(tmp_path, x, y)
    for place in (file, tmp_path):
        images, maps = load_images(place, (3, 16, 24), 4, dense=True)
        assert (images == x[:, :, 3:27].transpose(0, 3, 1, 2)).all()
        assert (maps == y[:, :, 3:27]).all()


def test_images_without_maps_have_an_agreement(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((3, 40, 40, 3), np.uint8))
    images = load_images(tmp_path / "a.npz", (3, 8, 8), 5, dense=True)
    assert images[0].shape == (3, 3, 8, 8) and images[1] is None
    torch.manual_seed(0)
    pair = {who: Fixed(torch.randn(1, 5, 8, 8)) for who in ("teacher", "student")}
    named = [network.logits.argmax(1) for network in pair.values()]
    found = check_maps_on(pair, images, ((0.5,) * 3, (0.25,) * 3), "cpu")
    same = 100 * (named[0] == named[1]).double().mean().item()
    assert found.keys() == {"images", "agreement", "kl"} and found["images"] == 3
    assert found["agreement"] == pytest.approx(same, abs=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_map_stays_with_its_image(tmp_path, channels):
    """A grey level is a label: after cropping and scaling both still agree."""
    y = np.kron(np.arange(24).reshape(4, 6) % 9, np.ones((32, 32))).astype(np.uint8)
    x = np.stack([20 * y] * channels, -1)[None]
    np.savez(tmp_path / "a.npz", x=x, y=y[None])
    write_pairs(tmp_path / "a", x if channels == 3 else x[..., 0], y[None])
    for side in (32, 128, 256):
        for place in (tmp_path / "a", tmp_path / "a.npz"):
            images, maps = load_images(place, (channels, side, side), 9, dense=True)
            assert maps.shape == (1, side, side) and maps.dtype == np.uint8
            middle = y[:, 32:160][:: 128 // min(side, 128), :: 128 // min(side, 128)]
            middle = middle.repeat(-(-side // 128), 0).repeat(-(-side // 128), 1)
            assert (maps[0] == middle).all()
            near = np.abs(images[0, 0].astype(int) - 20 * maps[0]) < 10
            assert near.mean() > 0.7  # but at the borders of the labels


X = np.zeros((2, 16, 24, 3), np.uint8)
MAPS = np.ones(X.shape[:3], np.uint8)
BELOW = MAPS - 2 * np.eye(16, 24, dtype=int)


@pytest.mark.parametrize(
    ("x", "y", "told"),
    [
        (X, np.array([0, 1]), "shape (2,); it must have a whole number for each pixel"),
        (X, MAPS[:, :8], "whole number for each pixel, (2, 16, 24)"),
        (X, MAPS / 1, "y is float64"),
        (X, 4 * MAPS, "labels from 4 to 4; give 0 to 3, and 255 for void pixels"),
        (X, BELOW, "labels from -1 to 1; give 0 to 3"),
        (X, VOID * MAPS, "y has no pixel with a class"),
        (
            X,
            VOID * (MAPS - np.eye(16, 24, dtype=int)),
            "class 0 and 255, which is void",
        ),
        (X[..., :1], MAPS, "x is uint8 of shape (2, 16, 24, 1)"),
        (X[0], MAPS, "x is uint8 of shape (16, 24, 3)"),
    ],
)
def test_maps_that_do_not_fit_are_refused_before_any_work(x, y, told, tmp_path):
    np.savez(tmp_path / "a.npz", x=x, y=y)
    options = SMALL | {"check": tmp_path / "a.npz", "output_dir": tmp_path / "own"}
    with pytest.raises(UserError) as caught:
        distill(Net(8), Net(4), **options)
    line = str(caught.value)
    assert told in line and line.startswith("check: ") and "\n" not in line
    assert line.endswith("or an npz with an array x") and "images and masks" in line
    assert not (tmp_path / "own").exists()


def test_masks_that_do_not_fit_are_refused(tmp_path):
    write_pairs(tmp_path, X, 9 * MAPS)

    def refused():
        with pytest.raises(UserError) as caught:
            load_images(tmp_path, (3, 16, 16), 4, dense=True)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "labels from 9 to 9; give 0 to 3, and 255" in refused()
    mask = tmp_path / "masks" / "01.png"
    Image.fromarray(MAPS[1, :8]).save(mask)
    assert "01.png has 24×8 pixels" in refused() and "24×16; give" in refused()
    Image.fromarray(X[1]).save(mask)
    assert "has colours" in refused()
    mask.unlink()
    assert "images and masks differ, as in 01" in refused()
