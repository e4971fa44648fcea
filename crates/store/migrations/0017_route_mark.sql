-- Apps of which something that the route table is made from has changed, in the order of the last change. Whoever keeps
-- a table remembers the number up to which he has seen them, and looks at the apps behind it. An app that is gone is
-- here too. (A migration that makes one of these tables anew drops its triggers, and must make them anew.)
CREATE TABLE route_mark (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    app BLOB NOT NULL UNIQUE
) STRICT;

CREATE TRIGGER route_of_app_new AFTER INSERT ON app BEGIN
    DELETE FROM route_mark WHERE app = NEW.id;
    INSERT INTO route_mark (app) VALUES (NEW.id);
END;
CREATE TRIGGER route_of_app AFTER UPDATE OF name, maintenance, deleted, features_on ON app BEGIN
    DELETE FROM route_mark WHERE app = NEW.id;
    INSERT INTO route_mark (app) VALUES (NEW.id);
END;
CREATE TRIGGER route_of_app_gone AFTER DELETE ON app BEGIN
    DELETE FROM route_mark WHERE app = OLD.id;
    INSERT INTO route_mark (app) VALUES (OLD.id);
END;

CREATE TRIGGER route_of_dyno_new AFTER INSERT ON dyno BEGIN
    DELETE FROM route_mark WHERE app = NEW.app;
    INSERT INTO route_mark (app) VALUES (NEW.app);
END;
CREATE TRIGGER route_of_dyno AFTER UPDATE ON dyno BEGIN
    DELETE FROM route_mark WHERE app = NEW.app;
    INSERT INTO route_mark (app) VALUES (NEW.app);
END;
CREATE TRIGGER route_of_dyno_gone AFTER DELETE ON dyno BEGIN
    DELETE FROM route_mark WHERE app = OLD.app;
    INSERT INTO route_mark (app) VALUES (OLD.app);
END;

CREATE TRIGGER route_of_domain_new AFTER INSERT ON domain BEGIN
    DELETE FROM route_mark WHERE app = NEW.app;
    INSERT INTO route_mark (app) VALUES (NEW.app);
END;
CREATE TRIGGER route_of_domain AFTER UPDATE ON domain BEGIN
    DELETE FROM route_mark WHERE app IN (OLD.app, NEW.app);
    INSERT INTO route_mark (app) VALUES (NEW.app);
    INSERT INTO route_mark (app) SELECT OLD.app WHERE OLD.app <> NEW.app;
END;
CREATE TRIGGER route_of_domain_gone AFTER DELETE ON domain BEGIN
    DELETE FROM route_mark WHERE app = OLD.app;
    INSERT INTO route_mark (app) VALUES (OLD.app);
END;

CREATE TRIGGER route_of_certificate AFTER UPDATE ON sni_endpoint BEGIN
    DELETE FROM route_mark WHERE app = NEW.app;
    INSERT INTO route_mark (app) VALUES (NEW.app);
END;

CREATE TRIGGER route_of_release_new AFTER INSERT ON release WHEN NEW.current = 1 BEGIN
    DELETE FROM route_mark WHERE app = NEW.app;
    INSERT INTO route_mark (app) VALUES (NEW.app);
END;
CREATE TRIGGER route_of_release AFTER UPDATE OF current ON release BEGIN
    DELETE FROM route_mark WHERE app = NEW.app;
    INSERT INTO route_mark (app) VALUES (NEW.app);
END;
CREATE TRIGGER route_of_release_gone AFTER DELETE ON release WHEN OLD.current = 1 BEGIN
    DELETE FROM route_mark WHERE app = OLD.app;
    INSERT INTO route_mark (app) VALUES (OLD.app);
END;

CREATE TRIGGER route_of_formation_new AFTER INSERT ON formation BEGIN
    DELETE FROM route_mark WHERE app = NEW.app;
    INSERT INTO route_mark (app) VALUES (NEW.app);
END;
CREATE TRIGGER route_of_formation AFTER UPDATE ON formation BEGIN
    DELETE FROM route_mark WHERE app = NEW.app;
    INSERT INTO route_mark (app) VALUES (NEW.app);
END;
CREATE TRIGGER route_of_formation_gone AFTER DELETE ON formation BEGIN
    DELETE FROM route_mark WHERE app = OLD.app;
    INSERT INTO route_mark (app) VALUES (OLD.app);
END;

CREATE TRIGGER route_of_sleep_new AFTER INSERT ON sleep BEGIN
    DELETE FROM route_mark WHERE app = NEW.app;
    INSERT INTO route_mark (app) VALUES (NEW.app);
END;
CREATE TRIGGER route_of_sleep AFTER UPDATE OF asleep ON sleep BEGIN
    DELETE FROM route_mark WHERE app = NEW.app;
    INSERT INTO route_mark (app) VALUES (NEW.app);
END;
CREATE TRIGGER route_of_sleep_gone AFTER DELETE ON sleep BEGIN
    DELETE FROM route_mark WHERE app = OLD.app;
    INSERT INTO route_mark (app) VALUES (OLD.app);
END;
