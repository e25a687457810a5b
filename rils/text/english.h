#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tessera::rils {

/// A title as plain words: lower-case ASCII letters with single blanks between words. Parentheses with their content
/// and digits are removed, a curly apostrophe becomes a straight one, and other characters separate words. "Dog
/// 01_Drawn (B and W)" → "dog drawn". Malformed UTF-8 is accepted.
[[nodiscard]] std::string plain_words(std::string_view text);

/// The words of a text, split at blanks.
[[nodiscard]] std::vector<std::string_view> split_at_blanks(std::string_view text);

/// Adds the article by sound: "a dog", "an owl", "an hourglass". The rules suffice for names of things.
[[nodiscard]] std::string with_article(std::string_view noun_phrase);

/// The plural of a noun phrase by its last word, or by the word before "of": "pieces of clothing", "foxes", "mice".
[[nodiscard]] std::string plural(std::string_view noun_phrase);

}  // namespace tessera::rils
