"""What a hostile file holds."""

import os


class Hostile:
    """Executes code where it is unpickled."""

    def __init__(self, proof):
        self.proof = proof

    def __reduce__(self):
        return os.mkdir, (str(self.proof),)
