"""The questions of the demo world's customers, and their correct answers.

An intent has several wordings of the question and of the answer, and the facts that every correct answer
states. A fact is a tuple of phrases, one of which must occur in the answer. All answers of an intent use the
same slots. All texts were written for this project.
"""

from typing import NamedTuple


class Intent(NamedTuple):
    name: str
    questions: tuple[str, ...]
    answers: tuple[str, ...]
    facts: tuple[tuple[str, ...], ...]


# One line per wording keeps the table readable.
INTENTS: tuple[Intent, ...] = (
    Intent(
        "order_status",
        (
            "Where is my order {order}?",
            "Can you tell me where order {order} is?",
            "I am still waiting for order {order}.",
        ),
        (
            "Your order {order} has left our warehouse and arrives within two days.",
            "Order {order} is on its way from our warehouse and will be with you within two days.",
        ),
        (("warehouse",), ("within two days",)),
    ),
    Intent(
        "cancel_order",
        (
            "I want to cancel order {order}.",
            "Please cancel my order {order}.",
            "How do I cancel order {order}?",
        ),
        (
            "I have cancelled order {order} and nothing will be charged.",
            "Order {order} is now cancelled, so nothing will be charged.",
        ),
        (("cancelled",), ("nothing will be charged",)),
    ),
    Intent(
        "refund_status",
        (
            "When do I get my refund of {amount}?",
            "My refund of {amount} has not arrived.",
            "Where is the refund of {amount} you promised?",
        ),
        (
            "Your refund of {amount} reaches your bank account within five working days.",
            "The refund of {amount} was sent today and reaches your bank account within five working days.",
        ),
        (("refund",), ("within five working days",)),
    ),
    Intent(
        "broken_item",
        (
            "The {product} I received is broken.",
            "My new {product} arrived broken.",
            "The {product} fell apart on the first day.",
        ),
        (
            "We will send you a new {product} for free, and you can throw the broken one away.",
            "A new {product} is on its way to you for free, and you may throw the broken one away.",
        ),
        (("a new",), ("for free",), ("throw the broken one away",)),
    ),
    Intent(
        "wrong_item",
        (
            "I ordered a {product} but got something else.",
            "You sent me the wrong thing instead of a {product}.",
            "The parcel does not contain the {product} I paid for.",
        ),
        (
            "We will ship the right {product} today and a courier collects the wrong parcel.",
            "The right {product} ships today, and a courier collects the wrong parcel.",
        ),
        (("the right",), ("courier collects",)),
    ),
    Intent(
        "return_item",
        (
            "How can I return my {product}?",
            "I would like to send back the {product}.",
            "The {product} is not for me, can I return it?",
        ),
        (
            "You can return the {product} within thirty days with the label in the parcel.",
            "Please use the label in the parcel to return the {product} within thirty days.",
        ),
        (("return the",), ("within thirty days",), ("label in the parcel",)),
    ),
    Intent(
        "delivery_city",
        (
            "Do you deliver to {city}?",
            "Can you send parcels to {city}?",
            "I live in {city}, do you deliver there?",
        ),
        (
            "Yes, we deliver to {city} every weekday and shipping costs four euros.",
            "We do deliver to {city} every weekday, and shipping costs four euros.",
        ),
        (("deliver to",), ("shipping costs four euros",)),
    ),
    Intent(
        "delivery_date",
        (
            "Can order {order} arrive on {date}?",
            "I need order {order} on {date}.",
            "Will order {order} be here by {date}?",
        ),
        (
            "I have booked the delivery of order {order} for {date} before noon.",
            "The delivery of order {order} is booked for {date} before noon.",
        ),
        (("booked",), ("before noon",)),
    ),
    Intent(
        "change_address",
        (
            "I moved to {city}, can you change the address of order {order}?",
            "Please send order {order} to my new address in {city}.",
            "Order {order} should go to {city} instead.",
        ),
        (
            "The address of order {order} is now your new one in {city}.",
            "I have changed the address of order {order} to your new one in {city}.",
        ),
        (("address of order",), ("your new one",)),
    ),
    Intent(
        "password_reset",
        ("I forgot my password.", "I cannot log in to my account.", "How do I reset my password?"),
        (
            "Press the reset link on the log in page and choose a new password.",
            "On the log in page you can press the reset link and choose a new password.",
        ),
        (("reset link",), ("choose a new password",)),
    ),
    Intent(
        "close_account",
        (
            "Please close my account.",
            "How can I delete my account?",
            "I want my account and my data removed.",
        ),
        (
            "Your account will be closed tonight and all your data is deleted.",
            "We close your account tonight, and all your data is deleted.",
        ),
        (("account",), ("tonight",), ("data is deleted",)),
    ),
    Intent(
        "warranty",
        (
            "How long is the warranty on the {product}?",
            "Is there a warranty for my {product}?",
            "Does the warranty still cover my {product}?",
        ),
        (
            "The warranty on the {product} lasts three years from the day you bought it.",
            "Your {product} has a warranty that lasts three years from the day you bought it.",
        ),
        (("warranty",), ("three years",)),
    ),
    Intent(
        "invoice_copy",
        (
            "I need the invoice for order {order}.",
            "Can you send me a copy of the invoice for {order}?",
            "The invoice for order {order} is missing.",
        ),
        (
            "I have sent the invoice for order {order} to your email address as a file.",
            "The invoice for order {order} is now in your email as a file.",
        ),
        (("invoice",), ("your email",), ("as a file",)),
    ),
    Intent(
        "invoice_wrong",
        (
            "My invoice says {amount}, which is too much.",
            "Why was I charged {amount}?",
            "You charged me {amount} twice.",
        ),
        (
            "The charge of {amount} was a mistake and we will correct the bill today.",
            "That charge of {amount} is a mistake, and we will correct the bill today.",
        ),
        (("mistake",), ("correct the bill",)),
    ),
    Intent(
        "book_appointment",
        (
            "Can I get an appointment on {date}?",
            "I would like to visit your shop on {date}.",
            "Please book an appointment for me on {date}.",
        ),
        (
            "Your appointment on {date} is at ten in our shop on the first floor.",
            "You have an appointment on {date} at ten in our shop on the first floor.",
        ),
        (("appointment",), ("at ten",), ("first floor",)),
    ),
    Intent(
        "move_appointment",
        (
            "I cannot come on {weekday}, can we move the appointment to {date}?",
            "Please move my {weekday} appointment to {date}.",
            "My appointment on {weekday} has to become {date}.",
        ),
        (
            "I have moved your appointment from {weekday} to {date} at the same time.",
            "Your appointment moves from {weekday} to {date} at the same time.",
        ),
        (("appointment",), ("at the same time",)),
    ),
    Intent(
        "shop_hours",
        (
            "When does the shop in {city} open?",
            "What are the opening hours in {city}?",
            "Is the shop in {city} open in the evening?",
        ),
        (
            "Our shop in {city} is open from nine to seven, and closed on public holidays.",
            "The shop in {city} opens from nine to seven, and is closed on public holidays.",
        ),
        (("from nine to seven",), ("public holidays",)),
    ),
    Intent(
        "stock",
        (
            "Is the {product} in stock?",
            "When can I buy the {product} again?",
            "The {product} is sold out, why?",
        ),
        (
            "The {product} will be back in stock next week and you can reserve one online.",
            "Next week the {product} is back in stock, and you can reserve one online.",
        ),
        (("back in stock",), ("reserve one online",)),
    ),
    Intent(
        "price_match",
        (
            "I saw the {product} for {amount} elsewhere.",
            "Another shop sells the {product} for {amount}.",
            "Can I have the {product} for {amount}?",
        ),
        (
            "We match the price of {amount} for the {product} when you show the offer at the till.",
            "Show the offer at the till and we match the price of {amount} for the {product}.",
        ),
        (("match the price",), ("at the till",)),
    ),
    Intent(
        "voucher",
        (
            "My voucher of {amount} does not work.",
            "How do I use a voucher of {amount}?",
            "The shop refuses my voucher of {amount}.",
        ),
        (
            "Type the code of your {amount} voucher in capital letters on the payment page.",
            "On the payment page, type the code of your {amount} voucher in capital letters.",
        ),
        (("type the code",), ("capital letters",)),
    ),
    Intent(
        "gift_wrap",
        (
            "Can you wrap order {order} as a gift?",
            "Order {order} is a present, is gift paper possible?",
            "I would like gift paper for order {order}.",
        ),
        (
            "We will wrap order {order} in gift paper and add a card.",
            "Order {order} will be wrapped in gift paper, and we add a card.",
        ),
        (("gift paper",), ("add a card",)),
    ),
    Intent(
        "repair",
        ("My {product} needs a repair.", "Who can repair my {product}?", "Do you repair a {product}?"),
        (
            "Bring the {product} to our workshop and the repair takes one week.",
            "Our workshop does the repair of your {product}, which takes one week.",
        ),
        (("workshop",), ("takes one week",)),
    ),
    Intent(
        "size_change",
        (
            "The {product} is too small.",
            "Can I swap the {product} for a larger one?",
            "I need my {product} one size bigger.",
        ),
        (
            "We swap the {product} for a larger size, just keep the tags on.",
            "You can swap the {product} for a larger size if you keep the tags on.",
        ),
        (("larger size",), ("keep the tags on",)),
    ),
    Intent(
        "late_parcel",
        (
            "My parcel to {city} is late.",
            "Why is the parcel to {city} taking so long?",
            "A parcel to {city} seems to be lost.",
        ),
        (
            "Your parcel to {city} was held up by snow and gets here tomorrow.",
            "Snow has held up your parcel to {city}, but it gets here tomorrow.",
        ),
        (("snow",), ("tomorrow",)),
    ),
    Intent(
        "pickup",
        (
            "Can I pick up order {order} in {city}?",
            "I want to collect order {order} from the {city} shop.",
            "Is order {order} ready in {city}?",
        ),
        (
            "Order {order} waits for you at the {city} desk, please bring a photo card.",
            "You will find order {order} at the {city} desk, and please bring a photo card.",
        ),
        (("desk",), ("photo card",)),
    ),
    Intent(
        "newsletter",
        (
            "Stop sending me your newsletter.",
            "How do I leave the mailing list?",
            "I get too many emails from you.",
        ),
        (
            "I have taken you off the mailing list and no more emails will come.",
            "You are now off the mailing list, so no more emails will come.",
        ),
        (("off the mailing list",), ("no more emails",)),
    ),
    Intent(
        "job",
        (
            "Do you have open jobs in {city}?",
            "I would like to work for you in {city}.",
            "Are you hiring in {city}?",
        ),
        (
            "We are hiring drivers in {city}, so please send us your work history.",
            "Please send us your work history, as we are hiring drivers in {city}.",
        ),
        (("hiring drivers",), ("work history",)),
    ),
    Intent(
        "manual",
        (
            "I lost the manual of my {product}.",
            "How do I set up the {product}?",
            "There was no manual with the {product}.",
        ),
        (
            "The manual of the {product} is under help on our website and has pictures of every step.",
            "You find the manual of the {product} under help on our website, with pictures of every step.",
        ),
        (("under help on our website",), ("pictures of every step",)),
    ),
    Intent(
        "pay_later",
        (
            "Can I pay the {amount} later?",
            "I cannot pay {amount} this month.",
            "Is it possible to split {amount} into parts?",
        ),
        (
            "You can split the {amount} into three equal parts without interest.",
            "We split the {amount} into three equal parts, without interest.",
        ),
        (("three equal parts",), ("without interest",)),
    ),
    Intent(
        "card_declined",
        (
            "My card was declined for order {order}.",
            "The payment for order {order} did not go through.",
            "I cannot pay for order {order} with my card.",
        ),
        (
            "Please ask your bank to allow the payment for order {order} and try again after an hour.",
            "Your bank has to allow the payment for order {order}, then try again after an hour.",
        ),
        (("your bank",), ("after an hour",)),
    ),
    Intent(
        "change_item",
        (
            "Can I add a {product} to order {order}?",
            "Please put a {product} into order {order} too.",
            "I forgot to add a {product} to order {order}.",
        ),
        (
            "I have added the {product} to order {order} and both come in the same box.",
            "The {product} is now added to order {order}, and both come in the same box.",
        ),
        (("added",), ("the same box",)),
    ),
    Intent(
        "damaged_box",
        (
            "The box of order {order} was open when it came.",
            "Order {order} arrived in a torn box.",
            "Somebody opened the box of order {order}.",
        ),
        (
            "Please send us two photos of the box of order {order} so the carrier can pay for it.",
            "Send us two photos of the box of order {order}, and the carrier will pay for it.",
        ),
        (("two photos",), ("carrier",)),
    ),
    Intent(
        "rude_driver",
        (
            "Your driver in {city} was rude on {weekday}.",
            "On {weekday} your {city} driver shouted at me.",
            "I complain about the driver who came on {weekday} in {city}.",
        ),
        (
            "We will speak with the {city} driver who came on {weekday}, and it will not happen again.",
            "The {city} driver of {weekday} will hear from us, and it will not happen again.",
        ),
        (("driver",), ("not happen again",)),
    ),
    Intent(
        "materials",
        (
            "What is the {product} made of?",
            "Is the {product} safe for children?",
            "Does the {product} contain plastic?",
        ),
        (
            "The {product} is made of recycled steel and has passed every safety test.",
            "Recycled steel is what the {product} is made of, and it has passed every safety test.",
        ),
        (("recycled steel",), ("safety test",)),
    ),
    Intent(
        "points",
        (
            "How many points do I get for {amount}?",
            "I spent {amount} and got no points.",
            "Where are the points for my {amount}?",
        ),
        (
            "For {amount} you get double points, which show up in your profile on the first of the month.",
            "Your {amount} bring double points, which show up in your profile on the first of the month.",
        ),
        (("double points",), ("in your profile",)),
    ),
    Intent(
        "business",
        (
            "My company needs forty of the {product}.",
            "Is there a discount when we buy many of the {product}?",
            "We want to order the {product} for the whole office.",
        ),
        (
            "For companies the {product} comes with ten percent off, and our sales team will call you.",
            "Our sales team will call you about the {product}, which has ten percent off for companies.",
        ),
        (("ten percent off",), ("sales team",)),
    ),
)
# fmt: on
