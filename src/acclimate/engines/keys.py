"""API keys, which come from the environment and are shown nowhere."""

import re
from collections.abc import Mapping

from pydantic import SecretStr

from acclimate.errors import EngineError

VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")
"""A variable's name. Upper case only, so that a key pasted in its place is refused."""


class Keys:
    """The environment's variables, of which engines read the API keys that a recipe names."""

    __slots__ = ("_variables",)

    def __init__(self, variables: Mapping[str, str]) -> None:
        """Keep the variables; only the command line reads the environment, and passes it here."""
        self._variables = variables

    def __repr__(self) -> str:
        """Return nothing of what is held."""
        return "Keys()"

    def named(self, variable: str) -> SecretStr:
        """Return the key in a variable, blanks around it removed.

        Raises:
            EngineError: the variable is unset or empty, or what it holds cannot be sent as a key.
        """
        value = self._variables.get(variable, "").strip()
        if not value:
            raise EngineError(
                f"The environment variable {variable} is not set, and the recipe names it as the place of an "
                f"API key. Set it (export {variable}=...), or name another variable in api_key_env."
            )
        if not (value.isascii() and value.isprintable()) or " " in value:
            raise EngineError(
                f"The environment variable {variable} holds characters that no API key has (blanks, line "
                "breaks or letters outside ASCII). Set it to the key alone."
            )
        return SecretStr(value)
