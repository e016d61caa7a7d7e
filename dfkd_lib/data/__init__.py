"""Data sets by name, collected data, and images on the device."""
# ruff: noqa: F401, I001

from .catalogue import DATASETS, EMBEDDED, NETWORKS, VOID, Place, augmentation
from .catalogue import find, known_dataset, locate
from .layouts import ImageFiles, Split, resize
from .dataset import Dataset, check_fits, load_dataset, load_images
from .images import Collected, Images, augment
from .collected import RELATED, UNRELATED, collect, images_for, source_for
from .words import names_of, word_vectors
