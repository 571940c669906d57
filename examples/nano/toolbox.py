"""The tools that requests are made for: everyday ones, and made-up ones called by name."""

from __future__ import annotations

import random
from dataclasses import dataclass

from . import words


@dataclass(frozen=True)
class ToolSpec:
    """A tool: parameters by kind of value, and requests in plain words that need it.

    Every request names every parameter. `unseen` requests never occur in training.
    """

    name: str
    description: str
    parameters: dict[str, str]
    requests: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()


TOOLBOX = (
    ToolSpec(
        "get_weather",
        "Get the weather in a city.",
        {"city": "city"},
        (
            "What is the weather in {city}?",
            "What's the weather like in {city}?",
            "How is the weather in {city}?",
            "What is the weather like in {city} today?",
            "What is the weather in {city} right now?",
            "What's the weather in {city} today?",
            "Check the weather in {city}.",
            "How warm is it in {city}?",
            "I want to know the weather in {city}.",
            "Tell me the weather in {city}.",
            "Weather in {city}",
            "Is it raining in {city}?",
        ),
        ("How is the weather in {city} today?", "Get me the weather in {city}."),
    ),
    ToolSpec(
        "get_time",
        "Get the local time in a city.",
        {"city": "city"},
        (
            "What time is it in {city}?",
            "What is the time in {city}?",
            "What's the time in {city}?",
            "What time is it right now in {city}?",
            "How late is it in {city}?",
            "Tell me the time in {city}.",
            "Which time is it in {city} now?",
        ),
        ("What time is it in {city} now?",),
    ),
    ToolSpec(
        "set_timer",
        "Start a timer.",
        {"minutes": "minutes", "label": "word"},
        (
            "Set a timer for {minutes} minutes called {label}.",
            "Start a {minutes} minute timer for {label}.",
            "I need a {minutes} minute timer named {label}.",
            "Set a {label} timer of {minutes} minutes.",
        ),
        ("Start a timer for {minutes} minutes called {label}.",),
    ),
    ToolSpec(
        "set_alarm",
        "Set an alarm.",
        {"day": "day", "time": "time"},
        (
            "Set an alarm for {time} on {day}.",
            "Wake me up at {time} on {day}.",
            "I need an alarm on {day} at {time}.",
        ),
        ("Set an alarm on {day} at {time}.",),
    ),
    ToolSpec(
        "send_email",
        "Send an email.",
        {"to": "email", "subject": "phrase"},
        (
            "Send an email to {to} with the subject {subject}.",
            "Email {to} about {subject}.",
            "Send a mail to {to} about {subject}.",
            "Mail {to} with the subject {subject}.",
            "Send {to} a mail about {subject}.",
            'Write an email to {to} with the subject "{subject}".',
        ),
        ("Send {to} an email with the subject {subject}.",),
    ),
    ToolSpec(
        "convert_currency",
        "Convert an amount of money.",
        {"amount": "price", "source": "currency", "target": "currency"},
        (
            "Convert {amount} {source} to {target}.",
            "How much is {amount} {source} in {target}?",
            "Change {amount} {source} into {target}.",
            "What is {amount} {source} in {target}?",
        ),
        ("Convert {amount} {source} into {target}.",),
    ),
    ToolSpec(
        "translate",
        "Translate a text.",
        {"text": "phrase", "language": "language"},
        (
            'Translate "{text}" to {language}.',
            "Translate {text} into {language}.",
            'How do you say "{text}" in {language}?',
        ),
        ('Translate "{text}" into {language}.',),
    ),
    ToolSpec(
        "search_web",
        "Search the web.",
        {"query": "phrase"},
        (
            "Search the web for {query}.",
            "Search for {query}.",
            "Look up {query} on the web.",
            "Find {query} online.",
        ),
        ("Search the web: {query}",),
    ),
    ToolSpec(
        "book_table",
        "Book a table in a restaurant.",
        {"people": "count", "day": "day", "time": "time"},
        (
            "Book a table for {people} on {day} at {time}.",
            "Reserve a table for {people} people at {time} on {day}.",
            "I want a table for {people} on {day} at {time}.",
        ),
        ("Reserve a table for {people} on {day} at {time}.",),
    ),
    ToolSpec(
        "create_event",
        "Put an event in the calendar.",
        {"title": "event", "day": "day", "time": "time"},
        (
            "Add a {title} on {day} at {time} to my calendar.",
            "Create an event: {title} on {day} at {time}.",
            "Put the {title} in my calendar for {day} at {time}.",
        ),
        ("Add the {title} to my calendar on {day} at {time}.",),
    ),
    ToolSpec(
        "turn_on_light",
        "Turn on the light in a room.",
        {"room": "room"},
        (
            "Turn on the light in the {room}.",
            "Turn the {room} light on.",
            "Switch on the {room} light.",
            "I need light in the {room}.",
        ),
        ("Switch on the light in the {room}.",),
    ),
    ToolSpec(
        "buy_ticket",
        "Buy a train ticket.",
        {"origin": "city", "destination": "city", "day": "day"},
        (
            "Buy a ticket from {origin} to {destination} for {day}.",
            "I need a train ticket from {origin} to {destination} on {day}.",
            "Get me a ticket to {destination} from {origin} on {day}.",
        ),
        ("Buy a train ticket from {origin} to {destination} on {day}.",),
    ),
    ToolSpec(
        "call_contact",
        "Call somebody by phone.",
        {"name": "name"},
        ("Call {name}.", "Phone {name}.", "Give {name} a call.", "Ring {name} for me."),
        ("Call {name} for me.",),
    ),
    ToolSpec(
        "add_item",
        "Add something to the shopping list.",
        {"item": "goods", "quantity": "count"},
        (
            "Add {quantity} {item} to my shopping list.",
            "Put {quantity} {item} on the shopping list.",
            "I need to buy {quantity} {item}.",
        ),
        ("Add {quantity} {item} to the shopping list.",),
    ),
    ToolSpec(
        "find_recipe",
        "Find a recipe.",
        {"ingredient": "food"},
        (
            "Find a recipe with {ingredient}.",
            "What can I cook with {ingredient}?",
            "Give me a recipe for {ingredient}.",
        ),
        ("Find me a recipe with {ingredient}.",),
    ),
    ToolSpec(
        "roll_dice",
        "Roll dice.",
        {"count": "count", "sides": "count"},
        ("Roll {count} dice with {sides} sides.", "Throw {count} dice of {sides} sides."),
    ),
)

_VERBS = (
    "get", "set", "find", "add", "send", "open", "close", "start", "stop", "check", "update",
    "delete", "create", "list", "book",
)  # fmt: skip
_PARAMETERS = {
    **{name: "word" for name in ("title", "label", "topic", "tag", "key", "status", "category")},
    **{name: "phrase" for name in ("query", "text", "message", "note")},
    **{name: "count" for name in ("count", "limit", "amount", "level", "size", "page")},
    **{name: "id" for name in ("id", "user_id", "order_id", "number")},
    **{"name": "name", "user": "first_name", "city": "city", "country_code": "code"},
    **{"color": "color", "day": "day", "month": "month", "time": "time", "email": "email"},
    **{"phone": "phone", "code": "code", "room": "room", "language": "language", "item": "thing"},
}


def made_up_tool(rng: random.Random) -> ToolSpec:
    """A tool nobody has seen before, such as `open_lantern(level, tag)`."""
    verb, noun = rng.choice(_VERBS), rng.choice((*words.THINGS, *words.NATURE, *words.ANIMALS))
    names = rng.sample(list(_PARAMETERS), rng.randint(1, 3))
    description = f"{verb.capitalize()} the {noun}."
    return ToolSpec(f"{verb}_{noun}", description, {name: _PARAMETERS[name] for name in names})
