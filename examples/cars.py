"""Python functions as tools: `pip install ./python` (docs/python.md), then python3 examples/cars.py ["question"].

The embedded model calls them; what each was called with is printed, then the answer."""
import sys
from typing import Literal

from tenon import Conversation

PRICES = {"Tang": 32000, "Han": 29000}


def main():
    question = " ".join(sys.argv[1:]) or "What does Tang cost in EUR?"
    with Conversation(limits={"max_turns": 4}, request={"max_tokens": 100}) as chat:
        @chat.register(read_only=True)
        def get_car_price(car_name: str, currency: Literal["USD", "EUR"] = "USD"):
            """Price of a car
            Args:
                car_name: model name
                currency: of the price
            """
            car = next((c for c in PRICES if c.lower() in car_name.lower()), None)   # "the Tang" too
            if not car:
                raise ValueError("no car %s; there are %s" % (car_name, ", ".join(PRICES)))
            return {"car": car, "price": PRICES[car], "currency": currency}

        @chat.register
        def book_test_drive(car_name: str, day: Literal["Monday", "Tuesday", "Saturday"]):
            """Books a test drive"""
            return {"booked": True, "car": car_name, "day": day}

        answer = chat.submit(question)
        for call in chat.calls:
            print("%s(%s) -> %s" % (call["name"], call["arguments"], call["result"]))
        print(answer["content"])


main()
