"""Task: extract fields of a sentence as JSON."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass

from .example import Example, ask
from .wording import Phrasings, Values, draw_different, join_names, with_article


@dataclass(frozen=True)
class Schema:
    """Fields with the kind of their values, and sentences that tell all of them."""

    fields: dict[str, str]
    sentences: tuple[str, ...]


SCHEMAS = (
    Schema(
        {"name": "name", "age": "age", "city": "city", "job": "job"},
        (
            "{name} is {age} years old, lives in {city} and works as {a_job}.",
            "{name} is {a_job} from {city} and is {age} years old.",
            "Meet {name}, {a_job} of {age} years who lives in {city}.",
            "{name}, {age}, works as {a_job} in {city}.",
            "In {city} there lives {a_job} called {name}, aged {age}.",
            "My name is {name}, I am {age}, and I work in {city} as {a_job}.",
        ),
    ),
    Schema(
        {"customer": "name", "item": "goods", "quantity": "count", "price": "price"},
        (
            "{customer} ordered {quantity} {item} for {price} dollars.",
            "{customer} bought {quantity} {item} and paid {price} dollars.",
            "An order of {quantity} {item} came from {customer} at {price} dollars.",
            "We sold {quantity} {item} to {customer} for {price} dollars.",
            "For {price} dollars, {customer} gets {quantity} {item}.",
        ),
    ),
    Schema(
        {"event": "event", "day": "day", "time": "time", "place": "place"},
        (
            "The {event} is on {day} at {time} in the {place}.",
            "On {day} at {time} there is {a_event} at the {place}.",
            "Join us at the {place} for the {event} on {day} at {time}.",
            "The {event} at the {place} starts at {time} on {day}.",
            "Please come to the {place} on {day}, the {event} begins at {time}.",
        ),
    ),
    Schema(
        {"name": "name", "email": "email", "phone": "phone"},
        (
            "You can reach {name} at {email} or by phone at {phone}.",
            "{name} has the email {email} and the phone number {phone}.",
            "Write to {email} or call {phone} and ask for {name}.",
            "Contact: {name}, {email}, {phone}.",
        ),
    ),
    Schema(
        {"passenger": "name", "flight": "code", "origin": "city", "destination": "city"},
        (
            "{passenger} takes flight {flight} from {origin} to {destination}.",
            "Flight {flight} brings {passenger} from {origin} to {destination}.",
            "{passenger} flies to {destination} from {origin} with flight {flight}.",
            "From {origin} to {destination}, {passenger} is booked on {flight}.",
        ),
    ),
    Schema(
        {"product": "thing", "color": "color", "price": "price", "code": "code"},
        (
            "The {color} {product} with code {code} costs {price} dollars.",
            "We sell a {color} {product} for {price} dollars, its code is {code}.",
            "Product {code} is a {color} {product} at {price} dollars.",
            "For {price} dollars you get the {color} {product}, number {code}.",
        ),
    ),
)

EXTRACT = Phrasings(
    orders=(
        "Extract the {fields} as JSON: {text}",
        "Extract {fields} as JSON: {text}",
        "Extract {fields} from this sentence as JSON: {text}",
        "Extract the fields {fields} as JSON: {text}",
        "Extract the following fields as JSON: {fields}. Text: {text}",
        "Extract JSON with {fields} from: {text}",
        "Extract {fields} and return JSON.\n{text}",
        "Parse {fields} from this text into JSON: {text}",
        "Pull out the {fields} as JSON: {text}",
        "Convert this to JSON with {fields}: {text}",
        "Output the {fields} as JSON: {text}",
        "Get the {fields} from this sentence as JSON: {text}",
        "List the {fields} as JSON: {text}",
        "From the following text, extract {fields} as JSON: {text}",
        "Fill a JSON object with {fields}: {text}",
        "Return the {fields} as JSON: {text}",
        "Return a JSON object with {fields}: {text}",
        "Give me the {fields} as JSON: {text}",
        "Give me {fields} in JSON: {text}",
        "Write the {fields} as a JSON object: {text}",
        "Find the {fields} and answer in JSON: {text}",
        "Turn this into JSON with the keys {fields}: {text}",
        "Make a JSON object with the keys {fields} from this sentence: {text}",
        "Extract the {fields} from the text below as JSON.\n{text}",
        "Read the sentence and return {fields} as JSON.\n{text}",
    ),
    questions=(
        "{text}\nExtract the {fields} as JSON.",
        "{text}\nReturn the {fields} as JSON.",
        "{text} Give me the {fields} as JSON.",
        "What are the {fields} in this sentence? Answer in JSON. {text}",
        "JSON with {fields}: {text}",
        "Sentence: {text}\nExtract {fields} as JSON.",
        "Text: {text}\nFields: {fields}\nJSON:",
        "{text}\nGive me the {fields} in JSON.",
        "{text}\nOutput {fields} as JSON.",
        'From the sentence "{text}" extract the {fields} as JSON.',
    ),
    unseen=(
        "Extract the {fields} from this text as JSON: {text}",
        "Return JSON with the fields {fields}: {text}",
        "{text}\nWrite the {fields} as JSON.",
    ),
)


def make_extract(rng: random.Random, *, unseen: bool = False) -> Example:
    """Answer the wanted fields of a sentence as one JSON object, in the order asked for."""
    schema = rng.choice(SCHEMAS)
    record = draw_different(schema.fields, rng)
    text = _write_sentence(rng.choice(schema.sentences), record)
    wanted = rng.sample(list(schema.fields), rng.randint(1, len(schema.fields)))
    phrasing = EXTRACT.pick(rng, unseen=unseen)
    prompt = phrasing.format(fields=join_names(wanted, rng), text=text)
    answer = json.dumps({field: record[field] for field in wanted})
    return Example("extract", f"{text} {wanted}", ask(prompt), None, answer)


def _write_sentence(sentence: str, record: Values) -> str:
    """Fill a sentence; `{a_x}` is the value of x with its article."""
    articles = {f"a_{field}": with_article(str(value)) for field, value in record.items()}
    return sentence.format(**record, **articles)
