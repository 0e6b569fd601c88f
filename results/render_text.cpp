#include "results/render.h"
#include "results/text.h"

#include <fmt/ranges.h>

#include <algorithm>

namespace assay {
namespace {

/// One level of a table, columns of one data set side by side.
struct Block {
  std::string level;
  std::vector<std::size_t> columns;
};

bool has_number(const Table& table, std::size_t column) {
  return std::ranges::any_of(table.rows, [&](const TableRow& row) {
    return row.cells[column].mean || !row.cells[column].printed.empty();
  });
}

std::vector<Block> blocks_of(const Table& table) {
  std::vector<Block> blocks;
  for (const char* level : {"image", "pixel"}) {
    Block block{.level = level, .columns = {}};
    for (std::size_t i = 0; i < table.columns.size(); ++i) {
      if (table.columns[i].metric.level == level && has_number(table, i))
        block.columns.push_back(i);
    }
    if (!block.columns.empty()) blocks.push_back(std::move(block));
  }
  return blocks;
}

/// Rows of a block: printed ones only where the paper has a number for it.
std::vector<const TableRow*> rows_of(const Table& table, const Block& block) {
  std::vector<const TableRow*> rows;
  for (const TableRow& row : table.rows) {
    const auto is_printed = [&](std::size_t column) { return !row.cells[column].printed.empty(); };
    if (row.published_in.empty() || std::ranges::any_of(block.columns, is_printed)) {
      rows.push_back(&row);
    }
  }
  return rows;
}

std::string group_title(const TableColumn& column) {
  return column.dataset.empty() ? fmt::format("mean of {} sets", column.num_datasets)
                                : column.dataset;
}

std::string column_title(const TableColumn& column) {
  std::string title = metric_title(column.metric.metric);
  if (column.eval_size != 0) title += fmt::format(" at {} px", column.eval_size);
  return title;
}

bool has_spread(const Table& table) {
  for (const TableRow& row : table.rows) {
    for (const TableCell& cell : row.cells) {
      if (cell.deviation) return true;
    }
  }
  return false;
}

/// `85.3 ± 0.4`; one seed beside several: `85.3 (n = 1)` (`cases.md` B04).
std::string number(const TableCell& cell, bool spread, const char* plus_minus, const char* dash) {
  if (!cell.printed.empty()) return cell.printed;
  if (!cell.mean) return dash;
  std::string text = percent(*cell.mean);
  if (cell.deviation) {
    text += fmt::format(" {} {}", plus_minus, percent(*cell.deviation));
  } else if (spread && cell.num_seeds == 1) {
    text += " (n = 1)";
  }
  return text;
}

std::string caption(const Table& table, const Block& block) {
  return fmt::format("{}: {} level, percent{}", table.study, block.level,
                     has_spread(table) ? ", mean ± sample standard deviation over seeds" : "");
}

bool any_overlap(const Table& table) {
  for (const TableRow& row : table.rows) {
    for (const TableCell& cell : row.cells) {
      if (cell.overlap && cell.mean) return true;
    }
  }
  return false;
}

std::vector<std::string> all_notes(const Table& table) {
  std::vector<std::string> notes = table.notes;
  if (any_overlap(table)) notes.emplace_back("† training images are in the target");
  const auto printed = [](const TableRow& row) { return !row.published_in.empty(); };
  if (std::ranges::any_of(table.rows, printed)) {
    notes.emplace_back("° as printed in the paper, with no part in best and second");
  }
  return notes;
}

std::string terminal_cell(const TableCell& cell, bool spread, bool color) {
  std::string text = number(cell, spread, "±", "-");
  if (!cell.printed.empty()) text += "°";
  if (cell.overlap && cell.mean) text += "†";
  if (!color && cell.best) text += "*";
  if (!color && cell.second) text += "'";
  return text;
}

std::string painted(const TableCell& cell, const std::string& text, bool color) {
  if (!color || (!cell.best && !cell.second)) return text;
  const std::size_t begin = text.find_first_not_of(' ');
  return text.substr(0, begin) + (cell.best ? "\033[1m" : "\033[4m") + text.substr(begin) +
         "\033[0m";
}

std::string terminal_block(const Table& table, const Block& block, bool color) {
  const bool spread = has_spread(table);
  const std::vector<const TableRow*> rows = rows_of(table, block);
  std::size_t label_width = 6;
  for (const TableRow* row : rows) label_width = std::max(label_width, width(row->label()));
  std::vector<std::size_t> widths;
  for (const std::size_t column : block.columns) {
    std::size_t size = width(column_title(table.columns[column]));
    for (const TableRow* row : rows) {
      size = std::max(size, width(terminal_cell(row->cells[column], spread, color)));
    }
    widths.push_back(size);
  }
  // A group's title needs room above its columns.
  std::string groups(label_width, ' ');
  for (std::size_t i = 0; i < block.columns.size();) {
    const std::string title = group_title(table.columns[block.columns[i]]);
    std::size_t end = i, size = 0;
    for (; end < block.columns.size() && group_title(table.columns[block.columns[end]]) == title;
         ++end) {
      size += 2 + widths[end];
    }
    if (size < width(title) + 2) widths[end - 1] += width(title) + 2 - size;
    groups += pad_left(title, std::max(size, width(title) + 2));
    i = end;
  }
  std::string heads = "method" + std::string(label_width - 6, ' ');
  for (std::size_t i = 0; i < block.columns.size(); ++i) {
    heads += pad_left(column_title(table.columns[block.columns[i]]), widths[i] + 2);
  }
  std::string text = caption(table, block) + "\n" + groups + "\n" + heads + "\n";
  for (const TableRow* row : rows) {
    text += row->label() + std::string(label_width - width(row->label()), ' ');
    for (std::size_t i = 0; i < block.columns.size(); ++i) {
      const TableCell& cell = row->cells[block.columns[i]];
      text += painted(cell, pad_left(terminal_cell(cell, spread, color), widths[i] + 2), color);
    }
    text += "\n";
  }
  return text + "\n";
}

std::string markdown_cell(const TableCell& cell, bool spread) {
  std::string text = number(cell, spread, "±", "-");
  if (!cell.printed.empty()) return "*" + text + "*°";
  if (cell.best) text = "**" + text + "**";
  if (cell.second) text = "<u>" + text + "</u>";
  return cell.overlap && cell.mean ? text + "†" : text;
}

std::string latex_cell(const TableCell& cell, bool spread) {
  std::string text = number(cell, spread, "$\\pm$", "--");
  if (!cell.printed.empty()) return "\\textit{" + text + "}$^\\circ$";
  if (cell.best) text = "\\textbf{" + text + "}";
  if (cell.second) text = "\\underline{" + text + "}";
  return cell.overlap && cell.mean ? text + "\\textsuperscript{\\dag}" : text;
}

/// Group titles over their columns, with a rule below each.
std::string latex_groups(const Table& table, const Block& block) {
  std::string titles, rules;
  for (std::size_t i = 0; i < block.columns.size();) {
    const std::string title = group_title(table.columns[block.columns[i]]);
    std::size_t end = i;
    while (end < block.columns.size() && group_title(table.columns[block.columns[end]]) == title) {
      ++end;
    }
    titles += fmt::format(" & \\multicolumn{{{}}}{{c}}{{{}}}", end - i, escape_latex(title));
    rules += fmt::format("\\cmidrule(lr){{{}-{}}}", i + 2, end + 1);
    i = end;
  }
  return titles + " \\\\\n" + rules + "\n";
}

std::string latex_block(const Table& table, const Block& block, const std::string& notes) {
  const bool spread = has_spread(table);
  const std::vector<const TableRow*> rows = rows_of(table, block);
  std::string text = fmt::format(
      "\\begin{{table}}\n\\centering\n\\caption{{{}}}\n\\begin{{tabular}}{{l{}}}\n\\toprule\n",
      escape_latex(caption(table, block)), std::string(block.columns.size(), 'r'));
  text += latex_groups(table, block) + "method";
  for (const std::size_t column : block.columns) {
    text += " & " + escape_latex(column_title(table.columns[column]));
  }
  text += " \\\\\n\\midrule\n";
  bool printed = false;
  for (const TableRow* row : rows) {
    if (!row->published_in.empty() && !printed) text += "\\midrule\n";
    printed = printed || !row->published_in.empty();
    text += escape_latex(row->label());
    for (const std::size_t column : block.columns) {
      text += " & " + latex_cell(row->cells[column], spread);
    }
    text += " \\\\\n";
  }
  return text + "\\bottomrule\n\\end{tabular}\n" + notes + "\\end{table}\n";
}

}  // namespace

std::string to_terminal(const Table& table, bool color) {
  std::string text;
  for (const std::string& line : table.protocol) text += "protocol: " + line + "\n";
  if (!table.protocol.empty()) text += "\n";
  for (const Block& block : blocks_of(table)) text += terminal_block(table, block, color);
  if (blocks_of(table).empty()) text += table.study + ": nothing is measured yet\n";
  if (!color && !blocks_of(table).empty()) text += "* best, ' second, as printed\n";
  for (const std::string& note : all_notes(table)) text += "note: " + note + "\n";
  return text;
}

std::string to_markdown(const Table& table) {
  std::string text;
  if (!table.protocol.empty()) text += "Protocol differences to the printed numbers:\n\n";
  for (const std::string& line : table.protocol) text += "* " + escape_markdown(line) + "\n";
  if (!table.protocol.empty()) text += "\n";
  const bool spread = has_spread(table);
  for (const Block& block : blocks_of(table)) {
    text += escape_markdown(caption(table, block)) + "\n\n| method |";
    std::string rule = "\n|---|";
    for (const std::size_t column : block.columns) {
      const TableColumn& head = table.columns[column];
      text += fmt::format(" {} {} |", escape_markdown(group_title(head)), column_title(head));
      rule += "---:|";
    }
    text += rule + "\n";
    for (const TableRow* row : rows_of(table, block)) {
      text += "| " + escape_markdown(row->label()) + " |";
      for (const std::size_t column : block.columns) {
        text += " " + markdown_cell(row->cells[column], spread) + " |";
      }
      text += "\n";
    }
    text += "\n";
  }
  for (const std::string& note : all_notes(table)) text += "* " + escape_markdown(note) + "\n";
  return text;
}

std::string to_latex(const Table& table) {
  std::string text = "% Needs \\usepackage{booktabs}.\n";
  std::string notes;
  for (const std::string& line : table.protocol) {
    notes += "\\par\\footnotesize Protocol: " + escape_latex(line) + "\n";
  }
  for (const std::string& note : all_notes(table)) {
    notes += "\\par\\footnotesize " + escape_latex(note) + "\n";
  }
  for (const Block& block : blocks_of(table)) {
    text += latex_block(table, block, notes);
    notes.clear();  // Under the first one.
  }
  return text;
}

}  // namespace assay
