"""Data sets: what the embedded ones hold, and what is refused of a file, each in one line that names it."""

import gc
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from dfkd_lib.catalogue import DATASETS
from dfkd_lib.data import load_dataset, load_training_split
from dfkd_lib.errors import UserError
from dfkd_lib.sources import Place, locate

REAL = os.environ.get("DFKD_DATA", "")  # read before the tests' surroundings hide it

EMBEDDED = {"digits": (1347, 450, "9a1c2c59e764d867"), "digits_half": (898, 899, "d847ca5782afaa6d")}


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("DFKD_OFFLINE", "1")


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_digits(name):
    train, test, fingerprint = EMBEDDED[name]
    data = load_dataset(name)
    assert data.x_train.shape == (train, 32, 32, 1) and data.y_train.shape == (train,)
    assert data.x_test.shape == (test, 32, 32, 1) and data.y_test.shape == (test,)
    assert data.num_classes == 10
    arrays = [data.x_train, data.y_train, data.x_test, data.y_test]
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()
    assert digest.startswith(fingerprint), "the split or the images are no longer those of the shipped teachers"


@pytest.mark.parametrize("name", EMBEDDED)
def test_the_split_keeps_the_share_of_every_class(name):
    data = load_dataset(name)
    count = np.bincount(data.y_train) + np.bincount(data.y_test)
    share = len(data.y_test) / (len(data.y_train) + len(data.y_test))
    assert np.abs(np.bincount(data.y_test) - share * count).max() <= 1


@pytest.mark.parametrize("name", EMBEDDED)
def test_no_image_is_in_both_parts(name):
    data = load_dataset(name)
    train, test = ({x.tobytes() for x in part} for part in (data.x_train, data.x_test))
    assert not train & test


@pytest.mark.parametrize("name", EMBEDDED)
def test_normalised_training_images_have_mean_0_and_deviation_1(name):
    data = load_dataset(name)
    x = data.normalise(data.x_train)
    assert x.dtype == np.float32 and x.shape == (len(data.x_train), 1, 32, 32)
    assert x.mean(dtype=float) == pytest.approx(0, abs=1e-5)
    assert x.std(dtype=float) == pytest.approx(1, abs=1e-5)


# --- files under DFKD_DATA -------------------------------------------------------------------------------------------


def arrays() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    made = {}
    for part, n in (("train", 20), ("test", 10)):
        made[f"x_{part}"] = random.integers(256, size=(n, 32, 32, 3), dtype=np.uint8)
        made[f"y_{part}"] = np.arange(n, dtype=np.uint8) % 10
    return made


@pytest.fixture
def file(monkeypatch, tmp_path) -> Path:
    monkeypatch.setenv("DFKD_DATA", str(tmp_path))
    return tmp_path / "cifar100.npz"


def refusal() -> str:
    """The one line that says why cifar100 cannot be loaded."""
    with pytest.raises(UserError) as caught:
        load_dataset("cifar100")
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    del caught
    gc.collect()  # a file left open warns now, and so fails the test that opened it
    return message


def test_a_good_file(file):
    made = arrays()
    np.savez_compressed(file, **made)
    assert locate("cifar100") == Place("npz", file)
    data = load_dataset("cifar100")
    for name, array in made.items():
        np.testing.assert_array_equal(getattr(data, name), array)
    assert data.num_classes == 10
    assert data.y_train.dtype == data.y_test.dtype == np.int64
    pixel = (made["x_test"][3, 5, 7] / 255 - data.mean) / data.std
    np.testing.assert_allclose(data.normalise(data.x_test)[3, :, 5, 7], pixel, rtol=1e-5)


def test_an_unknown_name():
    with pytest.raises(UserError) as caught:
        load_dataset("cifar")
    assert all(name in str(caught.value) for name in DATASETS)


def test_nowhere_to_look():
    message = refusal()
    assert "DFKD_DATA" in message and "cifar100.npz" in message


def test_no_file(file):
    assert str(file) in refusal()


def test_a_file_that_is_no_archive(file):
    file.write_bytes(b"not an archive")
    assert str(file) in refusal()


def test_an_empty_file(file):
    file.write_bytes(b"")
    assert str(file) in refusal()


def test_a_truncated_file(file):
    np.savez_compressed(file, **arrays())
    whole = file.read_bytes()
    for share in (0.1, 0.5, 0.9, 0.999):
        file.write_bytes(whole[: int(share * len(whole))])
        assert str(file) in refusal()


def test_a_damaged_file(file):
    """Any byte may be wrong: in the archive's frame, in a header, in the pixels. Some are nobody's, such as a date."""
    random = np.random.default_rng(0)
    for save in (np.savez, np.savez_compressed):
        save(file, **arrays())
        whole = file.read_bytes()
        for place in (*random.integers(300, size=150), *random.integers(len(whole), size=150)):
            damaged = bytearray(whole)
            damaged[place] = random.integers(256)
            file.write_bytes(damaged)
            try:
                data = load_dataset("cifar100")
            except UserError as error:
                assert str(file) in str(error) and len(str(error).splitlines()) == 1
            else:
                assert all(np.array_equal(getattr(data, name), array) for name, array in arrays().items())


def test_a_single_array_by_that_name(file):
    with file.open("wb") as stream:
        np.save(stream, arrays()["x_train"])
    assert str(file) in refusal()


def test_pickled_objects_are_not_loaded(file):
    class Payload:
        def __reduce__(self):
            return Path.touch, (file.with_name("executed"),)

    np.savez(file, **arrays() | {"y_train": np.array([Payload()] * 20)})
    assert str(file) in refusal()
    assert not file.with_name("executed").exists()


@pytest.mark.parametrize("name", ["x_train", "y_train", "x_test", "y_test"])
def test_a_missing_array(file, name):
    made = arrays()
    del made[name]
    np.savez(file, **made)
    message = refusal()
    assert str(file) in message and name in message


@pytest.mark.parametrize(
    ("name", "change"),
    {
        "real pixels": ("x_train", lambda x: x / 255),
        "signed pixels": ("x_test", lambda x: x.astype(np.int16)),
        "no channels": ("x_test", lambda x: x[..., 0]),
        "channels first": ("x_train", lambda x: x.transpose(0, 3, 1, 2)),
        "four channels": ("x_train", lambda x: np.concatenate([x, x[..., :1]], 3)),
        "no images": ("x_test", lambda x: x[:0]),
        "real labels": ("y_train", lambda y: y.astype(float)),
        "one-hot labels": ("y_test", lambda y: np.eye(10, dtype=int)[y]),
        "one label too few": ("y_train", lambda y: y[1:]),
        "a negative label": ("y_train", lambda y: y.astype(int) - 1),
        "a class never trained on": ("y_test", lambda y: y + 10),
    }.values(),
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_arrays(file, name, change):
    made = arrays()
    made[name] = change(made[name])
    np.savez(file, **made)
    message = refusal()
    assert str(file) in message and name in message


def test_test_images_of_another_size(file):
    made = arrays()
    made["x_test"] = made["x_test"][:, :28, :28]
    np.savez(file, **made)
    assert str(file) in refusal()


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_grey_images_under_a_colour_data_sets_name(file, name):
    """They would be normalised with three channels' moments."""
    made = arrays()
    for part in ("x_train", "x_test"):
        made[part] = made[part][..., :1]
    path = file.with_name(f"{name}.npz")
    np.savez(path, **made)
    with pytest.raises(UserError) as caught:
        load_dataset(name)
    assert len(str(caught.value).splitlines()) == 1
    assert str(path) in str(caught.value) and "1 channels; " in str(caught.value) and "has 3" in str(caught.value)


# --- real data, where there is any -----------------------------------------------------------------------------------


@pytest.fixture
def real(monkeypatch):
    if not REAL or not (Path(REAL) / "cifar100.npz").is_file():
        pytest.skip("DFKD_DATA is not set, or its folder holds no cifar100.npz")
    monkeypatch.setenv("DFKD_DATA", REAL)
    return load_dataset("cifar100")


def test_real_cifar100(real):
    assert real.x_train.shape == (50_000, 32, 32, 3) and real.x_test.shape == (10_000, 32, 32, 3)
    assert set(np.bincount(real.y_train)) == {500} and set(np.bincount(real.y_test)) == {100}


def test_real_cifar100_has_the_published_moments(real):
    for channel in range(3):
        count = np.bincount(real.x_train[..., channel].ravel(), minlength=256)
        mean = np.average(np.arange(256) / 255, weights=count)
        std = np.sqrt(np.average((np.arange(256) / 255 - mean) ** 2, weights=count))
        assert (mean, std) == pytest.approx((real.mean[channel], real.std[channel]), abs=6e-5)


def test_a_text_under_the_name_of_an_archive(file):
    file.write_text("not an archive")
    with pytest.raises(UserError, match="no npz file"):
        load_dataset("cifar100")


def test_labels_that_count_from_one_are_refused(tmp_path, monkeypatch):
    arrays = {"x_train": np.zeros((4, 8, 8, 3), np.uint8), "y_train": np.array([1, 2, 1, 2])}
    arrays["x_train"][::2] = 9
    np.savez(tmp_path / "mine.npz", **arrays, x_test=arrays["x_train"], y_test=arrays["y_train"])
    monkeypatch.setenv("DFKD_DATA", str(tmp_path))
    with pytest.raises(UserError, match="labels from 1 on; count the classes from 0"):
        load_dataset("mine")


def test_an_array_that_is_missing_is_named(tmp_path, monkeypatch):
    np.savez(tmp_path / "mine.npz", x_test=np.zeros((4, 8, 8, 3), np.uint8), y_test=np.arange(4))
    monkeypatch.setenv("DFKD_DATA", str(tmp_path))
    with pytest.raises(UserError, match=r"lacks x_train, y_train; .* give the test part in its place"):
        load_dataset("mine")


def test_a_source_of_images_needs_no_test_part(tmp_path, monkeypatch):
    np.savez(tmp_path / "mine.npz", x_train=np.zeros((4, 8, 8, 3), np.uint8), y_train=np.arange(4))
    monkeypatch.setenv("DFKD_DATA", str(tmp_path))
    assert len(load_training_split("mine").x) == 4
    with pytest.raises(UserError, match=r"lacks x_test, y_test; it needs the arrays [a-z_ ]+$"):
        load_dataset("mine")


def test_more_classes_than_the_data_set_has(file):
    made = arrays()
    made["y_train"] = made["y_train"] + 100
    np.savez(file, **made)
    with pytest.raises(UserError, match="100 classes"):
        load_dataset("cifar100")
