// Table: rows of text in columns that line up.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "control/cli/style.hpp"

namespace sluice::control {

class Table {
 public:
  enum class Align : std::uint8_t { left, right };
  enum class Tint : std::uint8_t { none, good, bad, faint };
  struct Column {
    std::string title;
    Align align = Align::left;
  };
  struct Cell {
    // Implicit, so that a row reads as the list of its texts. NOLINTBEGIN(google-explicit-constructor)
    Cell(std::string cell_text, Tint cell_tint = Tint::none) : text(std::move(cell_text)), tint(cell_tint) {}
    Cell(const char* cell_text) : text(cell_text) {}
    // NOLINTEND(google-explicit-constructor)
    std::string text;
    Tint tint = Tint::none;
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  /// As many cells as there are columns.
  void add(std::vector<Cell> row);
  /// Title line and rows, each ended by '\n', no blanks at a line's end.
  [[nodiscard]] std::string text(const Style& style) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

}  // namespace sluice::control
