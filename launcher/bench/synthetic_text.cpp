#include "launcher/bench/synthetic_text.h"

#include <array>
#include <random>

namespace terrace {
namespace {

constexpr std::array kWords = {
    "action", "activity", "age", "air", "area", "arm", "art", "back", "body", "book", "boy", "building", "business", "car", "care", "case", "center",
    "change", "child", "city", "class", "college", "community", "company", "control", "cost", "country", "couple", "court", "data", "day", "death",
    "decision", "development", "difference", "director", "doctor", "door", "drug", "education", "effect", "effort", "end", "event", "experience", "eye",
    "face", "fact", "family", "father", "field", "figure", "foot", "force", "form", "friend", "game", "girl", "government", "ground", "group", "guy",
    "hand", "head", "health", "heart", "history", "home", "hour", "house", "idea", "image", "industry", "information", "interest", "issue", "job", "kid",
    "kind", "land", "law", "leader", "level", "life", "light", "line", "lot", "love", "man", "market", "matter", "member", "mind", "minute", "moment",
    "money", "month", "morning", "mother", "movie", "music", "name", "nation", "need", "news", "night", "north", "number", "office", "oil", "others",
    "paper", "parent", "part", "party", "patient", "people", "person", "phone", "picture", "piece", "place", "plan", "player", "point", "police",
    "policy", "position", "power", "practice", "president", "price", "problem", "process", "product", "program", "project", "question", "rate", "reason",
    "record", "relationship", "report", "research", "result", "right", "road", "role", "room", "school", "season", "sense", "service", "show", "side",
    "site", "situation", "society", "son", "space", "star", "state", "story", "street", "student", "study", "system", "table", "tax", "teacher", "team",
    "test", "thing", "third", "time", "town", "use", "value", "view", "voice", "wall", "war", "water", "way", "week", "wife", "woman", "word", "work",
    "worker", "world", "year"};

}  // namespace

std::string synthetic_text(int32_t num_tokens, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string text;
  for (int32_t i = 0; i < num_tokens; ++i) {
    text += ' ';
    text += kWords[random() % kWords.size()];
  }
  return text;
}

}  // namespace terrace
