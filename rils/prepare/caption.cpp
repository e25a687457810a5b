#include "rils/prepare/caption.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <optional>

#include "rils/prepare/background.h"
#include "rils/text/english.h"

namespace tessera::rils {
namespace {

constexpr double kSlack = 0.15;      // fraction of the smaller extent by which two boxes side by side may overlap
constexpr double kSizeFactor = 1.4;  // ratio of the longer sides from which one thing is big and the other small

double centre_x(const Box& b) { return b.left + b.width / 2.0; }
double centre_y(const Box& b) { return b.top + b.height / 2.0; }

bool is_left_of(const Box& a, const Box& b) {
  const double dx = centre_x(b) - centre_x(a), dy = std::abs(centre_y(b) - centre_y(a));
  return a.left + a.width <= b.left + kSlack * std::min(a.width, b.width) && dx > dy;
}

Box transposed(const Box& b) { return {b.left, b.top, b.width, b.height}; }
bool is_above(const Box& a, const Box& b) { return is_left_of(transposed(a), transposed(b)); }

bool is_next_to(const Box& a, const Box& b, int size) {
  const int gap = std::max(a.left, b.left) - std::min(a.left + a.width, b.left + b.width);
  const int shared = std::min(a.top + a.height, b.top + b.height) - std::max(a.top, b.top);
  return gap < 0.15 * size && (is_left_of(a, b) || is_left_of(b, a)) && 2 * shared >= std::min(a.height, b.height);
}

/// Phrases for each relation. The phrase at the same index for the opposite relation has the same style.
std::string_view words_of(Relation relation, size_t style) {
  static constexpr std::array<std::array<std::string_view, 3>, kRelations> kWords = {{
      {"left of", "to the left of", "left of"},
      {"right of", "to the right of", "right of"},
      {"above", "over", "above"},
      {"below", "under", "below"},
      {"next to", "beside", "next to"},
      {"in front of", "in front of", "in front of"},
      {"behind", "behind", "behind"},
  }};
  return kWords[static_cast<size_t>(relation)][style];
}

/// Things of one noun with the words that the caption uses for them.
struct Party {
  std::vector<int> things;
  std::string phrase;    // "a big red apple", "two dogs"
  std::string definite;  // "the apple", "the dogs"
  bool many = false;
};

/// A relation between two parties as the text states it, with the chosen words.
struct Clause {
  size_t a = 0, b = 0;  // parties
  Relation relation = Relation::next_to;
  size_t style = 0;
};

class Writer {
 public:
  Writer(const SceneFacts& facts, AugmentStream& random) : facts_(facts), random_(random) {
    gather_parties();
    shuffle();
    for (Party& party : parties_) describe(party);
  }

  Caption write() {
    const float opening_choice = random_.uniform();
    const std::string ending = draw_ending();
    choose_body();
    const std::string opening = opening_words(opening_choice);
    Caption caption;
    caption.text = opening + body_(false) + ending;
    const auto turnable = [](const Clause& c) { return opposite(c.relation) != c.relation; };
    if (!is_ambiguous() && std::ranges::any_of(clauses_, turnable)) caption.swapped = opening + body_(true) + ending;
    for (const Clause& c : clauses_)
      caption.statements.push_back({c.relation, parties_[c.a].things, parties_[c.b].things});
    return caption;
  }

 private:
  bool chance(float probability) { return random_.uniform() < probability; }

  void gather_parties() {
    for (size_t i = 0; i < facts_.things.size(); ++i) {
      const auto same = [&](const Party& p) {
        return facts_.things[static_cast<size_t>(p.things.front())].noun == facts_.things[i].noun;
      };
      const auto found = std::ranges::find_if(parties_, same);
      if (found != parties_.end()) {
        found->things.push_back(static_cast<int>(i));
      } else {
        parties_.push_back({{static_cast<int>(i)}, {}, {}, false});
      }
    }
  }

  void shuffle() {
    for (size_t i = parties_.size(); i > 1; --i)
      std::swap(parties_[i - 1], parties_[static_cast<size_t>(draw_below(random_, static_cast<int>(i)))]);
  }

  /// "big" or "small" when this is true in comparison with every other thing.
  std::string_view size_word(int thing) {
    const auto extent = [&](size_t i) { return std::max(facts_.things[i].box.width, facts_.things[i].box.height); };
    bool big = true, small = true;
    for (size_t i = 0; i < facts_.things.size(); ++i) {
      if (i == static_cast<size_t>(thing)) continue;
      big = big && extent(static_cast<size_t>(thing)) >= kSizeFactor * extent(i);
      small = small && kSizeFactor * extent(static_cast<size_t>(thing)) <= extent(i);
    }
    if (big == small) return {};
    const bool second = chance(0.3f);
    return big ? (second ? "large" : "big") : (second ? "little" : "small");
  }

  void describe(Party& party) {
    static constexpr std::array<std::string_view, 5> kNumbers = {"no", "one", "two", "three", "four"};
    const CaptionThing& thing = facts_.things[static_cast<size_t>(party.things.front())];
    const float choice = random_.uniform();
    const auto shares_group = [&](const Party& p) {
      return &p != &party && facts_.things[static_cast<size_t>(p.things.front())].group == thing.group;
    };
    const bool by_group = choice < 0.22f && thing.group != thing.noun && !thing.group.empty() &&
                          std::ranges::none_of(parties_, shares_group);
    const std::string& noun = by_group ? thing.group : thing.noun;
    if (party.things.size() > 1) {
      const std::string nouns = thing.mass && !by_group ? noun : plural(noun);
      party.phrase = fmt::format("{} {}", kNumbers[std::min(party.things.size(), kNumbers.size() - 1)], nouns);
      party.definite = "the " + nouns;
      party.many = true;
      return;
    }
    std::string adjectives;
    const bool mass = thing.mass && !by_group;
    const bool say_size = chance(0.4f), say_colour = chance(0.35f);
    if (say_size && !mass)
      if (const auto word = size_word(party.things.front()); !word.empty()) adjectives = fmt::format("{} ", word);
    if (say_colour && !thing.colour.empty() && thing.colour != noun) adjectives += thing.colour + ' ';
    const bool one = chance(0.12f);
    party.phrase = mass  ? "some " + adjectives + noun
                   : one ? "one " + adjectives + noun
                         : with_article(adjectives + noun);
    party.definite = "the " + noun;
  }

  /// Whether a word could also mean another thing of the scene ("a car" beside a police car). Reversing a relation
  /// might then leave it true.
  bool is_ambiguous() const {
    for (const CaptionThing& a : facts_.things)
      for (const CaptionThing& b : facts_.things)
        if (a.noun != b.noun && (a.noun.ends_with(' ' + b.noun) || a.group == b.noun)) return true;
    return false;
  }

  bool all_hold(Relation relation, size_t a, size_t b) const {
    for (const int i : parties_[a].things)
      for (const int j : parties_[b].things)
        if (!holds(relation, facts_, i, j)) return false;
    return true;
  }

  /// Draws one of the relations that hold between two parties, if there is one.
  std::optional<Clause> relate(size_t a, size_t b) {
    std::vector<Relation> options;
    for (int r = 0; r < kRelations; ++r) {
      const auto relation = static_cast<Relation>(r);
      if (all_hold(relation, a, b)) options.push_back(relation);
    }
    const auto style = static_cast<size_t>(draw_below(random_, 3));
    if (options.empty()) return std::nullopt;
    return Clause{a, b, options[static_cast<size_t>(draw_below(random_, static_cast<int>(options.size())))], style};
  }

  /// The words of a relation, or of its opposite for a false text.
  static std::string_view say(const Clause& clause, bool turned) {
    return words_of(turned ? opposite(clause.relation) : clause.relation, clause.style);
  }

  const std::string& name(size_t party) const { return parties_[party].phrase; }

  void enumerate() {
    clauses_.clear();
    body_ = [this](bool) {
      std::string text = name(0);
      for (size_t i = 1; i < parties_.size(); ++i) text += (i + 1 == parties_.size() ? " and " : ", ") + name(i);
      return text;
    };
  }

  void choose_body() {
    bool done = false;
    const float plan = random_.uniform();
    if (parties_.size() == 2) done = plan < 0.8f && two(plan < 0.65f);
    if (parties_.size() == 3) done = plan < 0.85f && three(plan < 0.4f ? 0 : plan < 0.65f ? 1 : 2);
    if (parties_.size() == 4) done = plan < 0.85f && four();
    if (!done) enumerate();
  }

  /// "A left of B", or "B with A left of it".
  bool two(bool direct) {
    const auto clause = relate(0, 1);
    if (!clause) return false;
    clauses_ = {*clause};
    const bool it = !direct && !parties_[1].many;
    first_ = it ? 1 : 0;
    body_ = [this, it](bool turned) {
      const std::string_view words = say(clauses_[0], turned);
      return it ? fmt::format("{} with {} {} it", name(1), name(0), words)
                : fmt::format("{} {} {}", name(0), words, name(1));
    };
    return true;
  }

  /// "A left of B, below C"; "A left of B, and C above the B"; "A and C left of B".
  bool three(int form) {
    const auto first = relate(0, 1);
    if (!first) return false;
    if (form == 2 && all_hold(first->relation, 2, 1)) {
      clauses_ = {*first, *first};
      clauses_[1].a = 2;
      body_ = [this](bool turned) {
        return fmt::format("{} and {} {} {}", name(0), name(2), say(clauses_[0], turned), name(1));
      };
      return true;
    }
    const auto second = form == 0 ? relate(0, 2) : relate(2, 1);
    if (!second) return false;
    clauses_ = {*first, *second};
    body_ = [this, form](bool turned) {
      // One false relation is enough: the first that can be reversed.
      const bool first_turns = opposite(clauses_[0].relation) != clauses_[0].relation;
      const std::string_view r = say(clauses_[0], turned && first_turns), q = say(clauses_[1], turned && !first_turns);
      if (form == 0) return fmt::format("{} {} {}, {} {}", name(0), r, name(1), q, name(2));
      return fmt::format("{} {} {}, and {} {} {}", name(0), r, name(1), name(2), q, parties_[1].definite);
    };
    return true;
  }

  /// "A left of B, and C above D".
  bool four() {
    const auto first = relate(0, 1), second = relate(2, 3);
    if (!first || !second) return false;
    clauses_ = {*first, *second};
    body_ = [this](bool turned) {
      const bool first_turns = opposite(clauses_[0].relation) != clauses_[0].relation;
      return fmt::format("{} {} {}, and {} {} {}", name(0), say(clauses_[0], turned && first_turns), name(1), name(2),
                         say(clauses_[1], turned && !first_turns), name(3));
    };
    return true;
  }

  std::string opening_words(float choice) const {
    if (choice < 0.12f) return parties_[first_].many ? "there are " : "there is ";
    if (choice < 0.22f) return "a picture of ";
    if (choice < 0.28f) return "a drawing of ";
    return {};
  }

  std::string draw_ending() {
    const bool say = chance(0.35f);
    return say && !facts_.background.empty() ? " " + facts_.background : std::string();
  }

  const SceneFacts& facts_;
  AugmentStream& random_;
  std::vector<Party> parties_;
  size_t first_ = 0;  // the party that the text names first
  std::vector<Clause> clauses_;
  std::function<std::string(bool)> body_;
};

}  // namespace

bool holds(Relation relation, const SceneFacts& facts, int a, int b) {
  const Box& box_a = facts.things[static_cast<size_t>(a)].box;
  const Box& box_b = facts.things[static_cast<size_t>(b)].box;
  const auto hides = [&](int front, int back) {
    return std::ranges::find(facts.in_front, std::pair{front, back}) != facts.in_front.end();
  };
  switch (relation) {
    case Relation::left_of:
      return is_left_of(box_a, box_b);
    case Relation::right_of:
      return is_left_of(box_b, box_a);
    case Relation::above:
      return is_above(box_a, box_b);
    case Relation::below:
      return is_above(box_b, box_a);
    case Relation::next_to:
      return is_next_to(box_a, box_b, facts.size);
    case Relation::in_front_of:
      return hides(a, b);
    case Relation::behind:
      return hides(b, a);
  }
  return false;
}

Relation opposite(Relation relation) {
  switch (relation) {
    case Relation::left_of:
      return Relation::right_of;
    case Relation::right_of:
      return Relation::left_of;
    case Relation::above:
      return Relation::below;
    case Relation::below:
      return Relation::above;
    case Relation::in_front_of:
      return Relation::behind;
    case Relation::behind:
      return Relation::in_front_of;
    case Relation::next_to:
      break;
  }
  return Relation::next_to;
}

Caption write_caption(const SceneFacts& facts, AugmentStream& random) { return Writer(facts, random).write(); }

}  // namespace tessera::rils
