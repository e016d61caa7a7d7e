"""Which classes of a source belong to which of a target. The choice is ours."""

from ..errors import UserError

# label = digit; usps_framed is written by tools/frame_usps.py
_DIGITS = "digits digits_half digits_hybrid digits_rest mnist svhn usps usps_framed"
# ImageNet's names for CIFAR's classes, as HiDFD searches for them; none fits a deer
_SYNONYMS = """airplane: airliner, warplane; bird: albatross, black stork, goose,
king penguin; automobile: beach wagon, convertible, limousine, sports car; cat: tabby;
butterfly: monarch; cattle: bison, ox; dog: chihuahua, german shepherd,
golden retriever, labrador retriever, standard poodle, yorkshire terrier; frog:
bullfrog; horse: sorrel;
mountain: alp; sea: seashore; ship: container ship, gondola, lifeboat; snake:
boa constrictor; spider: black widow, tarantula; sweet pepper: bell pepper; telephone:
pay-phone; truck: moving van""".replace("\n", " ")
_OTHERS = ("custard apple", "mouse", "sea lion")  # the mouse is a computer's


def matching(
    source: str, names: tuple[str, ...], target: str, classes: tuple[str, ...]
) -> dict[int, int]:
    """From the source's labels to the target's: by name, last word or synonym."""
    if {source, target} <= set(_DIGITS.split()):
        return {label: label for label in range(10)}
    if not (names and classes):
        unnamed = target if names else source
        raise UserError(f"by: {unnamed} does not name its classes; give another by")
    known = {}
    for line in _SYNONYMS.split("; "):
        name, _, others = line.partition(": ")
        known |= dict.fromkeys(others.split(", "), name)
    names, classes = (
        [name.lower().replace("_", " ") for name in given] for given in (names, classes)
    )
    wanted = {name: label for label, name in enumerate(classes)}
    found = {}
    for label, name in enumerate(names):
        fits = [
            w for w in wanted if w == known.get(name) or f" {name}".endswith(f" {w}")
        ]
        if fits and name not in _OTHERS:
            found[label] = wanted[fits[-1]]
    return found
