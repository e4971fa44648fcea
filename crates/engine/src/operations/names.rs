//! Names for apps whose owner gave none: `shrouded-anchorage-35377`.

use rand::{Rng, seq::IndexedRandom};
use renga_model::AppName;

const ADJECTIVES: [&str; 48] = [
    "ancient",
    "autumn",
    "blooming",
    "bold",
    "calm",
    "crimson",
    "damp",
    "dark",
    "dawn",
    "desolate",
    "dry",
    "evening",
    "falling",
    "fierce",
    "floating",
    "frozen",
    "gentle",
    "guarded",
    "hidden",
    "hollow",
    "icy",
    "intense",
    "late",
    "lingering",
    "little",
    "lively",
    "misty",
    "morning",
    "mysterious",
    "nameless",
    "pacific",
    "peaceful",
    "polar",
    "quiet",
    "rocky",
    "rugged",
    "secret",
    "shrouded",
    "silent",
    "snowy",
    "sparkling",
    "stark",
    "still",
    "summer",
    "tranquil",
    "vast",
    "wandering",
    "winter",
];
const NOUNS: [&str; 48] = [
    "anchorage",
    "badlands",
    "basin",
    "bastion",
    "bayou",
    "beach",
    "brook",
    "brushlands",
    "bridge",
    "canyon",
    "castle",
    "cliffs",
    "cove",
    "creek",
    "depths",
    "dusk",
    "earth",
    "everglades",
    "falls",
    "fjord",
    "forest",
    "fortress",
    "garden",
    "glacier",
    "harbor",
    "headland",
    "island",
    "journey",
    "lake",
    "lowlands",
    "meadow",
    "mesa",
    "mountain",
    "oasis",
    "ocean",
    "peak",
    "plains",
    "reef",
    "ridge",
    "river",
    "savannah",
    "sea",
    "shore",
    "spire",
    "springs",
    "taiga",
    "tundra",
    "valley",
];

/// Two words of at most ten letters, a number of five digits: always within 30 characters.
pub(super) fn generate(rng: &mut impl Rng) -> AppName {
    let adjective = ADJECTIVES.choose(rng).copied().unwrap_or("calm");
    let noun = NOUNS.choose(rng).copied().unwrap_or("sea");
    let name = format!("{adjective}-{noun}-{}", rng.random_range(10_000..100_000));
    name.parse().expect("the words are short lower-case letters")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_words_makes_a_legal_name() {
        for adjective in ADJECTIVES {
            for noun in NOUNS {
                assert!(format!("{adjective}-{noun}-99999").parse::<AppName>().is_ok(), "{adjective}-{noun}");
            }
        }
    }
}
