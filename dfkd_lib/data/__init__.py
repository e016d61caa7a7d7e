"""Data sets by name, collected data, and images on the device."""
# ruff: noqa: F401, I001

from .catalogue import DATASETS, NETWORKS, augmentation
from .collected import RELATED, UNRELATED, collect, default_source
from .collected import images_for, source_for
from .dataset import Dataset, check_fits, load_dataset, load_images
from .dataset import load_training_split, moments
from .images import Collected, Images, augment
from .layouts import Split
from .read import ImageFiles, resize
from .sources import EMBEDDED, Place, find, known_dataset, locate
