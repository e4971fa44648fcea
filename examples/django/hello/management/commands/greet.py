from django.core.management.base import BaseCommand

from hello.views import times


class Command(BaseCommand):
    help = "Says hello as often as TIMES wants; try: heroku run python manage.py greet"

    def handle(self, *args, **options):
        for _ in range(times()):
            self.stdout.write("Hello!")
