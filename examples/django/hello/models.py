from django.db import models


class Greeting(models.Model):
    """One visit of the database page."""

    when = models.DateTimeField("when it was made", auto_now_add=True)
