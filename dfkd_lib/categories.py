"""Which classes of a source belong to which of a target: by name, as one would search a collection. The choice is ours.

HiDFD searches ImageNet for the categories of CIFAR and of CINIC-10, and does not list what it took.
"""

from .data import Dataset
from .errors import UserError

# label = digit; usps_framed is what tools/frame_usps.py writes
_DIGITS = {"digits", "digits_half", "digits_hybrid", "digits_rest", "mnist", "svhn", "usps", "usps_framed"}

# ImageNet's names for what CIFAR calls otherwise. None fits a deer.
_SYNONYMS: dict[str, tuple[str, ...]] = {
    "airplane": ("airliner", "warplane"),
    "automobile": ("beach wagon", "convertible", "limousine", "sports car"),
    "bird": ("albatross", "black stork", "goose", "king penguin"),
    "butterfly": ("monarch",),
    "cat": ("tabby",),
    "cattle": ("bison", "ox"),
    "dog": (
        "chihuahua",
        "german shepherd",
        "golden retriever",
        "labrador retriever",
        "standard poodle",
        "yorkshire terrier",
    ),
    "frog": ("bullfrog",),
    "horse": ("sorrel",),
    "mountain": ("alp",),
    "sea": ("seashore",),
    "ship": ("container ship", "gondola", "lifeboat"),
    "snake": ("boa constrictor",),
    "spider": ("black widow", "tarantula"),
    "sweet pepper": ("bell pepper",),
    "telephone": ("pay-phone",),
    "truck": ("moving van",),
}
_OTHERS = {"custard apple", "mouse", "sea lion"}  # the mouse is a computer's


def matching(source: str, names: tuple[str, ...], target: Dataset) -> dict[int, int]:
    """From the source's labels to the target's.

    Digits belong to digits. Elsewhere a class belongs to the one of the same name ("lawn mower" to "lawn_mower"), or
    of its last word ("Egyptian cat" to "cat"), or of the same meaning, by a list. The others are not taken.

    Raises
    ------
    UserError
        if the files do not name their classes, or none belongs to any.
    """
    if {source, target.name} <= _DIGITS:
        return {label: label for label in range(10)}
    for name, known in ((source, names), (target.name, target.classes)):
        if not known:
            raise UserError(f"categories: the files of {name} do not name its classes; give a label for each by hand")
    found = {}
    for theirs, name in enumerate(map(_plain, target.classes)):
        for mine, other in enumerate(map(_plain, names)):
            same = other == name or other.endswith(f" {name}") or other in _SYNONYMS.get(name, ())
            if same and other not in _OTHERS:
                found[mine] = theirs
    if not found:
        raise UserError(f"categories: no class of {source} is one of {target.name}'s by name; give them by hand")
    return found


def _plain(name: str) -> str:
    return name.lower().replace("_", " ")
