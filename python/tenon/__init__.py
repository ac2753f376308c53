"""Tenon: functions of yours as tools of a language model that runs on this machine.

    from tenon import Conversation

    chat = Conversation()                        # the embedded model
    @chat.register
    def get_car_price(car_name: str):
        '''Price of a car.
        Args:
            car_name: model name
        '''
        return {"price": 32000}
    print(chat.submit("What does the Tang cost?")["content"])

Every call fits the schema that the signature says; nothing leaves this machine. docs/python.md has the rest."""
from ._lib import Engine, Error
from .conversation import Conversation
from .schema import Field
from .tool import Tool

__version__ = "0.1.0"
__all__ = ["Conversation", "Engine", "Error", "Field", "Tool"]
