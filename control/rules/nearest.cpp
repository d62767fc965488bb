// nearest: Levenshtein's distance, with two neighbours swapped counted as one mistake, and a letter's case as none.
#include "control/rules/nearest.hpp"

#include <algorithm>
#include <vector>

namespace sluice::control {
namespace {

// Words of the syntax and port names are short; what is longer is no slip of the finger.
constexpr std::size_t kLongest = 40;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::size_t distance(std::string a, std::string b) {
  std::ranges::transform(a, a.begin(), lower);
  std::ranges::transform(b, b.begin(), lower);
  std::vector<std::size_t> before(b.size() + 1);
  std::vector<std::size_t> above(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) above[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] == b[j - 1] ? 0U : 1U)});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    std::swap(before, above);
    std::swap(above, row);
  }
  return above[b.size()];
}

}  // namespace

std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates) {
  if (word.size() > kLongest) return {};
  std::size_t best = word.size() / 3 + 1;
  std::string_view found;
  for (const auto candidate : candidates) {
    if (candidate.size() > kLongest) continue;
    const std::size_t d = distance(std::string(word), std::string(candidate));
    // A distance as long as the word itself shares nothing with it.
    if (d > best || d >= word.size() || (d == best && !found.empty())) continue;
    best = d;
    found = candidate;
  }
  return found;
}

std::string did_you_mean(std::string_view word, std::span<const std::string_view> candidates,
                         std::string_view otherwise) {
  const auto found = nearest(word, candidates);
  if (found.empty()) return std::string(otherwise);
  return "; did you mean " + std::string(found) + "?";
}

std::string there_are(std::span<const std::string_view> words) {
  constexpr std::size_t kShown = 8;
  if (words.empty()) return "; there are none";
  std::string text = words.size() == 1 ? "; there is " : "; there are ";
  for (std::size_t i = 0; i < std::min(words.size(), kShown); ++i) text.append(i == 0 ? "" : ", ").append(words[i]);
  if (words.size() > kShown) text += " and " + std::to_string(words.size() - kShown) + " more";
  return text;
}

}  // namespace sluice::control
