"""The one error a user is meant to read."""


class InputError(ValueError):
    """Bad input, said in one line: the file, the row or key, and the remedy.

    Parameters
    ----------
    where
        The file, with the row or key that is at fault.
    what
        What is wrong there.
    remedy
        What to do about it.

    Attributes
    ----------
    what, remedy
        As given.
    """

    def __init__(self, where: object, what: str, remedy: str):
        super().__init__(f"{where}: {what} — {remedy}")
        self.what, self.remedy = what, remedy
