r"""How is a recipe's publication cited?

One BibTeX entry that LaTeX accepts. Where a recipe names no authors, the arXiv id or
the address leads to them.
"""

from __future__ import annotations

import re
import unicodedata

from paperstart.recipe import Recipe

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedblright{}",
    # An escaped brace would still be one to BibTeX, which counts them.
    "{": r"\textbraceleft{}",
    "}": r"\textbraceright{}",
    **{sign: "\\" + sign for sign in "$&#%_"},
    **{"\u2013": "--", "\u2014": "---", "\u2018": "`", "\u2019": "'"},
    **{"\u201c": "``", "\u201d": "''", "\u2026": r"\ldots{}", "\u00d7": r"$\times$"},
    **{"\u00df": r"{\ss}", "\u00f8": r"{\o}", "\u00d8": r"{\O}", "\u0142": r"{\l}"},
    **{"\u0141": r"{\L}", "\u00e6": r"{\ae}", "\u00c6": r"{\AE}", "\u0131": r"{\i}"},
}
_ACCENTS = {
    **{"\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0308": '"'},
    **{"\u0304": "=", "\u0306": "u", "\u0307": ".", "\u030a": "r", "\u030b": "H"},
    **{"\u030c": "v", "\u0327": "c", "\u0328": "k"},
}
# Inside \url{...} a percent sign starts no comment, but these end or break it.
_IN_URL = {sign: f"%{ord(sign):02X}" for sign in '\\{}"^`<> '}


def bibtex(recipe: Recipe) -> str:
    """The BibTeX entry of what the recipe was published in; its key is the id."""
    fields = {}
    if recipe.authors:
        fields["author"] = " and ".join(map(_name, recipe.authors))
    fields["title"] = f"{{{latex(recipe.title)}}}"  # the second pair keeps capitals
    fields["year"] = str(recipe.year)
    if not recipe.authors:  # BibTeX's styles sort and label by this
        fields["key"] = latex(recipe.title)
    if recipe.arxiv is not None:
        fields["eprint"] = recipe.arxiv
        fields["archivePrefix"] = "arXiv"
    url = recipe.url or f"https://arxiv.org/abs/{recipe.arxiv}"
    fields["url"] = "".join(_IN_URL.get(sign, sign) for sign in url)
    lines = [f"  {name} = {{{text}}}," for name, text in fields.items()]
    return "\n".join([f"@misc{{{recipe.id},", *lines, "}"])


def _name(author: str) -> str:
    """A name as LaTeX sets it; its braces stay, which make one word to BibTeX."""
    return "".join(
        part if part in ("{", "}") else latex(part)
        for part in re.split("([{}])", author)
    )


def latex(text: str) -> str:
    """``text`` as LaTeX sets it: special signs escaped, accents and Greek spelled out.

    What has no spelling here stays as it is, in UTF-8, which LaTeX reads since 2018.
    """
    return "".join(map(_latex_sign, unicodedata.normalize("NFC", text)))


def _latex_sign(sign: str) -> str:
    if sign in _SPECIAL:
        return _SPECIAL[sign]
    if sign.isascii():
        return sign
    parts = unicodedata.normalize("NFD", sign)
    if len(parts) == 2 and parts[0].isascii() and parts[1] in _ACCENTS:
        base = {"i": r"\i", "j": r"\j"}.get(parts[0], parts[0])
        return f"{{\\{_ACCENTS[parts[1]]}{{{base}}}}}"
    words = unicodedata.name(sign, "").split(" ")
    if words[:3] == ["GREEK", "SMALL", "LETTER"] and len(words) == 4:
        return f"$\\{words[3].lower().replace('lamda', 'lambda')}$"
    return sign
