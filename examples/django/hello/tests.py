import os
from unittest import mock

from django.test import SimpleTestCase, override_settings

# Tests need no collectstatic.
PLAIN_FILES = {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}


@override_settings(STORAGES=PLAIN_FILES)
class PageTests(SimpleTestCase):
    def test_says_hello_as_often_as_asked(self):
        with mock.patch.dict(os.environ, TIMES="3"):
            self.assertContains(self.client.get("/"), "Hello!", count=3)

    def test_nonsense_is_once(self):
        with mock.patch.dict(os.environ, TIMES="many"):
            self.assertContains(self.client.get("/"), "Hello!", count=1)

    def test_without_a_database_the_page_says_so(self):
        self.assertEqual(self.client.get("/db/").status_code, 404)
