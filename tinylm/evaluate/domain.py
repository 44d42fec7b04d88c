"""The domain that a text is read as: a model knows domains by number, and people by name."""

from __future__ import annotations

from tinylm.errors import UserError
from tinylm.model.lm import LanguageModel


def domain_of(model: LanguageModel, name: str | None, option: str) -> int | None:
    """The number of the domain that text without labels is read as; None where the model routes by none.

    Args:
        name: None: the first that the model knows.
        option: how ``name`` is said, for the message: ``--domain``.

    Raises:
        UserError: the model routes by no domain, or knows none of that name.
    """
    if name is None:
        return 0 if model.by_domain else None
    if not model.by_domain:
        raise UserError(f"{option} {name}: the model routes by no domain; leave it out")
    known = model.shape.domains
    if name not in known:
        raise UserError(f"{option} {name}: the model knows no such domain, but {', '.join(known)}")
    return known.index(name)


def assumed(model: LanguageModel, name: str | None, option: str) -> list[str]:
    """A note where text without labels is read as of a domain that nobody named; else nothing."""
    if name is not None or not model.by_domain:
        return []
    return [f"{option}: read as domain {model.shape.domains[0]}, the first that the model routes by; or name another"]


class Domains:
    """The numbers of a text's domains as a model knows them.

    Text may have them in another order than the model was trained on, or some of them alone: names decide. A model that
    does not route by domain takes any names, for with it they only sort scores.

    Args:
        model: that reads the text.
        name: what all text is read as, whatever it is labelled; None: as it is labelled.

    Attributes:
        names: by number; those of the text that are new to the model follow, as they are asked for.

    Raises:
        UserError: as `domain_of`.
    """

    def __init__(self, model: LanguageModel, name: str | None = None) -> None:
        self.by_domain = model.by_domain
        self.names = list(model.shape.domains)
        self._all = None if name is None else domain_of(model, name, "--domain")

    def number(self, name: str | None) -> int | None:
        """The number of a document's domain, whose label is ``name``.

        Raises:
            UserError: the model routes by domain, and knows none of that name, or the document has no label.
        """
        if self._all is not None:
            return self._all
        if name is None:
            if self.by_domain:
                raise UserError(
                    "the text has no domains, and the model routes by them: say which one it is read as by --domain "
                    f"({', '.join(self.names)})"
                )
            return None
        if self.by_domain and name not in self.names:
            raise UserError(
                f"domain {name} of the text is none that the model routes by ({', '.join(self.names)}); --domain says "
                "which one all text is read as"
            )
        if name not in self.names:
            self.names.append(name)
        return self.names.index(name)
