"""Images on the device: the same numbers as on the host; random crops and flips against NumPy, draw for draw."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from dfkd_lib import images as images_module
from dfkd_lib.catalogue import NETWORKS
from dfkd_lib.collected import Collected
from dfkd_lib.data import Dataset, check_fits
from dfkd_lib.errors import UserError
from dfkd_lib.images import Images, augment
from dfkd_lib.layouts import ImageFiles

COLOUR = ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))


def made(n: int = 40, size: int = 32, channels: int = 3) -> Dataset:
    random = np.random.default_rng(n)
    x, y = random.integers(256, size=(2 * n, size, size, channels), dtype=np.uint8), np.arange(2 * n) % 10
    mean, std = COLOUR
    return Dataset("made", x[:n], y[:n], x[n:], y[n:], mean[:channels], std[:channels])


@pytest.mark.parametrize("channels", [1, 3])
def test_the_same_bits_as_the_data_sets_own_normalisation(channels):
    dataset = made(channels=channels)
    for part, x, y in (("train", dataset.x_train, dataset.y_train), ("test", dataset.x_test, dataset.y_test)):
        images = Images.of(dataset, "cpu", part)
        index = torch.tensor([5, 0, 39, 5])
        assert len(images) == 40 and images.x.dtype == torch.uint8
        assert torch.equal(images.batch(index), torch.from_numpy(dataset.normalise(x[index.numpy()])))
        assert torch.equal(images.normalise(images.pixels(index)), images.batch(index))
        assert torch.equal(images.y, torch.from_numpy(y))


def test_every_grey_level_is_normalised_alike():
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, 3)
    dataset = Dataset("made", levels, np.array([0]), levels, np.array([0]), *COLOUR)
    assert torch.equal(
        Images.of(dataset, "cpu").batch(torch.tensor([0])), torch.from_numpy(dataset.normalise(dataset.x_train))
    )


def test_there_are_two_parts():
    with pytest.raises(UserError, match="part: 'val' is not known"):
        Images.of(made(), "cpu", "val")


def files(folder, n: int = 6) -> Dataset:
    paths = []
    for k in range(n):
        paths.append(str(folder / f"{k}.png"))
        Image.fromarray(np.full((32, 32), k, np.uint8)).convert("RGB").save(paths[-1])
    x = ImageFiles(tuple(paths), 3, 32, 32)
    return Dataset("made", x, np.arange(n) % 2, x[:2], np.array([0, 1]), *COLOUR)


@pytest.mark.parametrize("fits", [True, False])
def test_image_files_are_decoded_once_if_they_fit_in_memory(monkeypatch, tmp_path, fits):
    dataset = files(tmp_path)
    monkeypatch.setattr(images_module, "MEMORY", dataset.x_train.nbytes - (not fits))
    images = Images.of(dataset, "cpu")
    assert isinstance(images.x, torch.Tensor if fits else ImageFiles)
    index = torch.tensor([4, 0, 5])
    assert images.pixels(index)[:, 2, 7, 9].tolist() == [4, 0, 5]
    assert torch.equal(images.batch(index), torch.from_numpy(dataset.normalise(dataset.x_train[[4, 0, 5]])))


def test_collected_images_have_the_constants_of_the_data_they_stand_in_for():
    dataset = made()
    for y in (None, np.arange(40) % 3):
        images = Images.of_collected(Collected(dataset.x_test, y, {}), dataset, "cpu")
        assert torch.equal(images.batch(torch.arange(40)), torch.from_numpy(dataset.normalise(dataset.x_test)))
        assert images.y.tolist() == ([-1] * 40 if y is None else y.tolist())


# --- random crops and flips ------------------------------------------------------------------------------------------


def as_teachers_were_trained(x: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Shifts by up to two pixels over repeated borders, colour images flipped: what made the shipped teachers."""
    n, channels, height, width = x.shape
    shift = torch.randint(0, 5, (2, n, 1), generator=random)
    rows, columns = shift[0] + torch.arange(height), shift[1] + torch.arange(width)
    if channels == 3:
        flip = torch.rand(n, 1, generator=random) < 0.5
        columns = torch.where(flip, columns.flip(1), columns)
    padded = F.pad(x, (2, 2, 2, 2), mode="replicate").permute(0, 2, 3, 1)
    picked = padded[torch.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return picked.permute(0, 3, 1, 2).contiguous()


@pytest.mark.parametrize("channels", [1, 3])
def test_the_shipped_teachers_augmentation_bit_for_bit(channels):
    x = torch.randn(50, channels, 32, 32, generator=torch.Generator().manual_seed(1))
    ours, theirs = torch.Generator().manual_seed(7), torch.Generator().manual_seed(7)
    for _ in range(3):
        got = augment(x, ours, flip=channels == 3)
        assert torch.equal(got, as_teachers_were_trained(x, theirs)) and got.is_contiguous()
    assert torch.equal(ours.get_state(), theirs.get_state())


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(("mode", "numpys"), [("zeros", "constant"), ("reflect", "reflect"), ("replicate", "edge")])
@pytest.mark.parametrize("pad", [0, 2, 4])
def test_crops_and_flips_against_numpy(mode, numpys, pad, flip):
    x = np.random.default_rng(0).integers(1, 256, size=(60, 3, 10, 12), dtype=np.uint8)
    got = augment(torch.from_numpy(x), torch.Generator().manual_seed(3), pad=pad, mode=mode, flip=flip)
    random = torch.Generator().manual_seed(3)
    rows, columns = torch.randint(0, 2 * pad + 1, (2, 60, 1), generator=random).squeeze(2).tolist()
    flips = (torch.rand(60, 1, generator=random) < 0.5).flatten().tolist() if flip else [False] * 60
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode=numpys)
    for k in range(60):
        crop = padded[k, :, rows[k] : rows[k] + 10, columns[k] : columns[k] + 12]
        np.testing.assert_array_equal(got[k].numpy(), crop[..., ::-1] if flips[k] else crop)
    assert got.dtype == torch.uint8
    if flip:
        assert 10 < sum(flips) < 50
    if pad == 4:
        assert set(rows) == set(columns) == set(range(9))


def test_black_padding_is_black_once_normalised():
    """CIFAR's recipe pads before it normalises, so that the border is black and not grey."""
    images = Images.of(made(), "cpu")
    index = torch.arange(40)
    cropped = augment(images.pixels(index), torch.Generator().manual_seed(0), pad=4, mode="zeros", flip=True)
    black = images.normalise(torch.zeros(1, 3, 1, 1, dtype=torch.uint8))
    rows = (cropped == 0).all(3).all(1)  # whole rows of padding
    assert rows.any() and (images.normalise(cropped).transpose(1, 2)[rows] == black[0, :, :, 0].expand(3, 32)).all()


def test_an_unknown_mode():
    with pytest.raises(UserError, match="mode: 'circular' is not known; allowed: reflect, replicate, zeros"):
        augment(torch.zeros(1, 1, 4, 4), torch.Generator(), mode="circular")


# --- which networks take them ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "channels"), [(32, 1), (32, 3), (64, 3), (224, 3), (20, 3)])
def test_only_networks_that_take_the_images_are_let_through(size, channels):
    dataset = made(n=1, size=size, channels=channels)
    for name, takes in NETWORKS.items():
        if takes.channels in (None, channels) and takes.size in (None, size):
            check_fits(dataset, "student", name)
            continue
        with pytest.raises(UserError) as caught:
            check_fits(dataset, "student", name)
        message = str(caught.value)
        assert (
            message.startswith(f"student: {name} takes images of ") and f"made has {channels}×{size}×{size}" in message
        )
        assert len(message.splitlines()) == 1


def test_images_that_are_not_square_fit_networks_for_any_size_only(monkeypatch):
    monkeypatch.setitem(NETWORKS, "any", type(NETWORKS["lenet5"])(None, None))
    x = np.zeros((2, 32, 20, 1), np.uint8)
    dataset = Dataset("made", x, np.array([0, 1]), x, np.array([0, 1]), (0.5,), (1.0,))
    check_fits(dataset, "teacher", "any")
    with pytest.raises(UserError, match="teacher: lenet5 takes images of 1×32×32, made has 1×32×20; .*: .*any"):
        check_fits(dataset, "teacher", "lenet5")


def test_an_unknown_network():
    with pytest.raises(UserError, match="teacher: 'lenet' is not known"):
        check_fits(made(), "teacher", "lenet")
