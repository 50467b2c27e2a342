"""The text of a policy that was learnt."""
import re


def rules_of(text):
    """Each rule in one line, without the comments between them."""
    block = text.split("\ntenant ", 1)[1].split("\n}\n", 1)[0]
    lines = [line for line in block.splitlines()[1:]
             if line.strip() and not line.startswith("\t#")]
    joined = re.sub(r"\n\t\t", " ", "\n".join(lines))
    return [line.strip() for line in
            re.sub(r"\n\t\}", " }", joined).splitlines()]
