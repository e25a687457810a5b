#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tessera::rils {

/// A title as plain words: lower case, letters of ASCII only (a curly apostrophe becomes a straight one, other
/// characters separate words), without what stands in parentheses, without digits, single blanks between.
/// "Dog 01_Drawn (B and W)" → "dog drawn". Malformed UTF-8 is no error.
[[nodiscard]] std::string plain_words(std::string_view text);

/// The words of a text, split at blanks.
[[nodiscard]] std::vector<std::string_view> split_at_blanks(std::string_view text);

/// "a dog", "an owl", "an hourglass": by sound, as far as names of things need it.
[[nodiscard]] std::string with_article(std::string_view noun_phrase);

/// The plural of a noun phrase by its last word, or by the word before "of": "pieces of clothing", "foxes", "mice".
[[nodiscard]] std::string plural(std::string_view noun_phrase);

}  // namespace tessera::rils
