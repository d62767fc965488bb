// Table. See table.hpp.
#include "control/cli/table.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "control/cli/quantity_text.hpp"

namespace sluice::control {
namespace {

std::string tinted(const Style& style, Table::Tint tint, const std::string& text) {
  switch (tint) {
    case Table::Tint::none: return text;
    case Table::Tint::good: return style.green(text);
    case Table::Tint::bad: return style.red(text);
    case Table::Tint::faint: return style.dim(text);
  }
  return text;
}

/// How many columns of a terminal: bytes that do not continue a UTF-8 character.
std::size_t width(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

}  // namespace

void Table::add(std::vector<Cell> row) {
  for (Cell& cell : row) cell.text = printable(cell.text);
  rows_.push_back(std::move(row));
}

std::string Table::text(const Style& style) const {
  std::vector<std::size_t> widths;
  for (const Column& column : columns_) widths.push_back(width(column.title));
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < widths.size(); ++i) widths[i] = std::max(widths[i], width(row[i].text));
  }

  std::string out;
  const auto put = [&](std::size_t i, const std::string& plain, const std::string& shown) {
    const std::string blanks(widths[i] - width(plain), ' ');
    if (i > 0) out += "  ";
    if (columns_[i].align == Align::right) out += blanks;
    out += shown;
    if (columns_[i].align == Align::left && i + 1 < columns_.size()) out += blanks;
  };
  const auto end_line = [&] { out.erase(out.find_last_not_of(' ') + 1).push_back('\n'); };

  for (std::size_t i = 0; i < columns_.size(); ++i) put(i, columns_[i].title, style.bold(columns_[i].title));
  end_line();
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < columns_.size(); ++i) put(i, row[i].text, tinted(style, row[i].tint, row[i].text));
    end_line();
  }
  return out;
}

}  // namespace sluice::control
