//! What there is to choose from.

use super::Walk;

pub(super) fn catalogue(walk: &Walk) {
    for (list, one) in [
        ("/regions", "/regions/us"),
        ("/stacks", "/stacks/heroku-24"),
        ("/generations", "/generations/cedar"),
        ("/dyno-sizes", "/dyno-sizes/standard-1x"),
    ] {
        walk.get(list);
        walk.get(one);
    }
    walk.get("/apps/walked/available-stacks");
    walk.get("/apps/walked/available-dyno-sizes");
}
