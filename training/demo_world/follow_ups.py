"""Follow-up questions of the demo world.

A follow-up can name values, which then replace earlier values of the same kind. If the answer to a follow-up
needs a value that the follow-up does not name, the value must come from the first turn.
"""

from training.demo_world.intents import Intent

FOLLOW_UPS: tuple[Intent, ...] = (
    Intent(
        "phone_call",
        ("Could someone call me on {weekday}?", "I would rather talk on the phone on {weekday}."),
        (
            "A colleague will call you on {weekday} in the morning, so keep your phone close.",
            "On {weekday} in the morning a colleague will call you, so keep your phone close.",
        ),
        (("colleague will call you",), ("in the morning",)),
    ),
    Intent(
        "written_confirmation",
        ("Can I have that in writing?", "Please confirm this by letter."),
        (
            "A letter that confirms all of this goes to the post office today.",
            "We confirm all of this in a letter that goes to the post office today.",
        ),
        (("letter",), ("post office today",)),
    ),
    Intent(
        "extra_cost",
        ("Will that cost me {amount} again?", "Do I have to pay {amount} for this?"),
        (
            "No, you do not have to pay the {amount}, as this service is included.",
            "This service is included, so you do not have to pay the {amount}.",
        ),
        (("do not have to pay",), ("service is included",)),
    ),
    Intent(
        "travel",
        ("I am away until {date}, is that a problem?", "What if I am not at home before {date}?"),
        (
            "That is no problem, as we keep everything safe for you until {date}.",
            "We keep everything safe for you until {date}, so that is no problem.",
        ),
        (("no problem",), ("everything safe",)),
    ),
    Intent(
        "other_order",
        ("Does the same go for order {order}?", "And what about order {order}?"),
        (
            "Yes, the same rule holds for order {order}, and you need to do nothing.",
            "You need to do nothing, as the same rule holds for order {order}.",
        ),
        (("same rule",), ("do nothing",)),
    ),
    Intent(
        "friend",
        ("My neighbour in {city} has the same problem.", "Can my sister in {city} ask for this too?"),
        (
            "People in {city} can write to us as well, and we answer every message in a day.",
            "We answer every message in a day, so people in {city} can write to us as well.",
        ),
        (("write to us as well",), ("every message in a day",)),
    ),
    Intent(
        "manager",
        ("I want to speak with a manager.", "Who is in charge there?"),
        (
            "Our manager reads all complaints herself and replies before the weekend.",
            "All complaints are read by our manager, who replies before the weekend.",
        ),
        (("manager",), ("before the weekend",)),
    ),
    Intent(
        "other_product",
        ("Do you also have a {product}?", "I am looking for a {product} too."),
        (
            "Yes, we sell a {product} in four colours, which you can see on our website.",
            "You can see on our website that we sell a {product} in four colours.",
        ),
        (("four colours",), ("website",)),
    ),
    Intent(
        "which_order",
        ("Which order do you mean?", "What was the number of that order?"),
        (
            "This is about order {order}, which you can see on your orders page.",
            "You can see on your orders page that this is about order {order}.",
        ),
        (("this is about order",), ("your orders page",)),
    ),
    Intent(
        "which_product",
        ("Which thing are you talking about?", "What was it called again?"),
        (
            "I am talking about the {product}, which has the highest rating in our shop.",
            "The {product} is what I am talking about, and it has the highest rating in our shop.",
        ),
        (("talking about",), ("highest rating",)),
    ),
    Intent(
        "which_city",
        ("Which city did you write down?", "Are you sure about the city?"),
        (
            "I wrote down {city}, and you may correct it at any time.",
            "The city that I wrote down is {city}, and you may correct it at any time.",
        ),
        (("wrote down",), ("correct it at any time",)),
    ),
)
