"""Agreement of subject and verb, as minimal pairs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tinylm.data.probe import Example, Task, spelled

NOUNS = ("author", "banker", "doctor", "farmer", "guard", "lawyer", "pilot", "senator", "singer", "teacher")
PLACES = ("behind", "beside", "near", "with")
VERBS = ("admire", "follow", "greet", "know", "like", "see")


class Agreement(Task):
    """The verb has the number of its subject, whatever nouns stand between: ``the author near the guards sees ...``.

    The right form has to be likelier than the other one of the same verb. Linzen et al. 2016 (arXiv 1611.01368), with
    attractors of either number at random; BLiMP (Warstadt et al. 2019, arXiv 1912.00582) has such pairs of real text.

    Args:
        lengths: nouns between subject and verb, from 0.
    """

    unit = "nouns between"
    shortest = 0
    alternatives = 2

    def draw(self, length: int, rng: np.random.Generator) -> Example:
        plural_N = rng.random(length + 2) < 0.5
        noun_N = rng.integers(len(NOUNS), size=length + 2)
        nouns = [NOUNS[n] + "s" * int(plural) for n, plural in zip(noun_N, plural_N, strict=True)]
        words = ["the", nouns[0]]
        for place, noun in zip(rng.integers(len(PLACES), size=length), nouns[1:-1], strict=True):
            words += [PLACES[place], "the", noun]
        verb = VERBS[rng.integers(len(VERBS))]
        forms = (verb, verb + "s") if plural_N[0] else (verb + "s", verb)
        at = len(words)
        return spelled([*words, forms[0], "the", nouns[-1]], {at: 1}, {at: forms[1:]})

    def predict(self, prompt: str) -> Mapping[str, float]:
        singular = prompt.split()[1] in NOUNS
        return {verb + "s" * singular: 1 / len(VERBS) for verb in VERBS}
