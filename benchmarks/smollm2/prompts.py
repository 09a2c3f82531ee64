"""Short prompts written for this benchmark. The policies are trained on `TRAIN`, together with prompts from
public data, and compared on `TEST`, which no run uses for training."""

from __future__ import annotations

_TRAIN = """
How can I keep bread fresh for longer?
Why does ice float on water?
Suggest a short name for a bakery near the sea.
What should I pack for a two-day hike?
Explain what a budget is to a ten-year-old.
How do I remove a coffee stain from a white shirt?
Name three animals that sleep during the winter.
Write a polite reply that declines an invitation to dinner.
What is the difference between a lake and a pond?
How often should I water a cactus?
Give me one tip for remembering names.
Why do leaves turn red in autumn?
What does a translator do all day?
How can I make my kitchen quieter?
Write one sentence that thanks a neighbour for feeding the cat.
What is a good first dish to learn to cook?
Why do we have leap years?
How do I start a conversation with a new colleague?
Recommend a game for a long train journey.
What is the purpose of a bicycle helmet?
Explain the word "patience" in one sentence.
How can I tell whether an egg is still good?
What makes a photo look sharp?
Suggest a quiet hobby for rainy evenings.
How do bees find their way home?
What is the best way to clean a wooden table?
Write a short reminder about a meeting at nine.
Why is the sea salty?
How can I drink more water every day?
What does it mean to save a document?
Give two reasons to learn to swim.
How do I choose a good melon?
What is a map legend?
How can I fall asleep faster?
Describe the smell of rain in one sentence.
Why do cats purr?
How do I measure a room without a tape measure?
What should I do first when a pan catches fire?
Name a vegetable that grows under the ground.
How can I be on time more often?
"""

_TEST = """
How can I keep my plants alive while I am on holiday?
Why is the sky blue?
Suggest a name for a small bookshop.
What should I bring to a picnic?
Explain what a bank does to a child.
How do I get candle wax out of a carpet?
Name three birds that cannot fly.
Write a polite message that cancels an appointment.
What is the difference between a river and a canal?
How often should I change my toothbrush?
Give me one tip for writing a clear email.
Why do stars twinkle?
What does a plumber do?
How can I make a small room look bigger?
Write one sentence that thanks a teacher.
What is a good breakfast before a long walk?
Why do we yawn?
How do I ask my boss for a day off?
Recommend an activity for a birthday party indoors.
What is the purpose of a seat belt?
Explain the word "courage" in one sentence.
How can I tell whether a pineapple is ripe?
What makes bread rise?
Suggest a present for a friend who likes tea.
How do fish breathe?
What is the best way to clean a window?
Write a short note that says dinner is in the oven.
Why do onions make us cry?
How can I read more books this year?
What does it mean to back up a computer?
Give two reasons to eat vegetables.
How do I choose comfortable shoes?
What is a compass used for?
How can I calm down before an exam?
Describe a snowy morning in one sentence.
Why do dogs wag their tails?
How do I fold a shirt?
What should I do when I lose my keys?
Name a fruit that grows on a vine.
How can I learn ten new words a day?
How do I keep cut flowers fresh?
Why does metal feel colder than wood?
What is a calendar for?
How can I save electricity at home?
Write a friendly greeting for a new neighbour.
What do I need to paint a wall?
Why do we need sleep?
How can I cook rice without burning it?
"""

TRAIN = _TRAIN.strip().splitlines()
TEST = _TEST.strip().splitlines()
