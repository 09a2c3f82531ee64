"""The slot values of the demo world, and functions that find slot values in text.

Each kind of value has its own form (`R142`, `12 May`, `45 euros`). No ordinary word in the templates has one
of these forms, so a judge can find values in any text. There are few enough values for a small model to see
all of them in training, but too many to memorise (1,800 order numbers, 336 dates). The model must therefore
learn to copy values.
"""

import re
from functools import cache


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


NAMES = _words("""
    Aisha Akira Alba Anders Anton Bruno Camila Carlos Chiara Dario Diego Dmitri Elena Elif Emil Esther Fatima
    Felix Freya Gustav Hana Hugo Ines Ingrid Ivan Jamal Jonas Julia Karim Klara Lars Leila Luca Magnus Marta
    Mateo Mei Milan Nadia Nikola Nora Olga Omar Paolo Priya Rosa Samir Sofia Tomas Vera Wanda Yusuf Zoe Zoltan
""")
CITIES = _words("""
    Antwerp Athens Bergen Bilbao Bologna Bremen Cork Dresden Dublin Geneva Ghent Glasgow Graz Hamburg Helsinki
    Krakow Leeds Lisbon Lyon Malmo Munich Naples Oslo Porto Prague Riga Seville Turin Utrecht Vienna Warsaw
    Zurich
""")
PRODUCTS = tuple(
    words.replace("_", " ")
    for words in _words("""
    desk_lamp rain_jacket coffee_grinder travel_mug rocking_chair wool_blanket bread_knife bike_helmet
    garden_hose picture_frame leather_belt phone_case water_kettle yoga_mat table_fan wall_clock cook_pot
    camping_tent laptop_bag reading_light hand_mixer floor_rug pocket_watch storage_box sleeping_bag
    cotton_towel tea_set tool_kit kitchen_scale book_shelf winter_scarf dinner_plate
""")
)
MONTHS = _words("January February March April May June July August September October November December")
WEEKDAYS = _words("Monday Tuesday Wednesday Thursday Friday Saturday")
ORDER_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"[:20]

VALUES: dict[str, tuple[str, ...]] = {
    "name": NAMES,
    "city": CITIES,
    "product": PRODUCTS,
    "weekday": WEEKDAYS,
    "date": tuple(f"{day} {month}" for month in MONTHS for day in range(1, 29)),
    "amount": tuple(f"{euros} euros" for euros in range(30, 100)),
    "order": tuple(f"{letter}{number}" for letter in ORDER_LETTERS for number in range(110, 200)),
}
KINDS = tuple(VALUES)

# One regular expression per kind. Names, cities, products and weekdays are matched against lists. Dates,
# amounts and order numbers are recognised by their form. Therefore, an order number or amount that never
# occurs in the demo world is still recognised and is scored as an incorrect value.
PATTERNS: dict[str, str] = {
    "name": "|".join(NAMES),
    "city": "|".join(CITIES),
    "product": "|".join(PRODUCTS),
    "weekday": "|".join([*WEEKDAYS, "Sunday"]),
    "date": rf"\d{{1,2}} (?:{'|'.join(MONTHS)})",
    "amount": r"\d+ euros",
    "order": r"[A-Z]\d{3}",
}


@cache
def _finder() -> re.Pattern[str]:
    return re.compile("|".join(rf"(?P<{kind}>\b(?:{pattern})\b)" for kind, pattern in PATTERNS.items()))


def find(text: str) -> list[tuple[str, str]]:
    """Return every slot value in `text` as (kind, value), in order of appearance."""
    return [(str(match.lastgroup), match.group()) for match in _finder().finditer(text)]


def generalise(text: str) -> str:
    """Return `text` with every slot value replaced by a word for its kind, such as `slotname`."""
    return _finder().sub(lambda match: f"slot{match.lastgroup}", text)


def in_template(template: str) -> tuple[str, ...]:
    """Return the distinct slot kinds in a template such as "Where is {order}?", in order of appearance."""
    return tuple(dict.fromkeys(re.findall(r"\{(\w+)\}", template)))
