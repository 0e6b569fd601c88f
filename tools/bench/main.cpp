// bench-table: what tools/bench.sh prints. Usage:
//   bench-table table [--json FILE] [--machine KEY=VALUE]... BENCH.json...   files of Google
//   Benchmark bench-table compare OLD.json NEW.json                                   files of
//   `table --json`

#include "core/error.h"
#include "core/file.h"
#include "tools/bench/report.h"

#include <CLI/CLI.hpp>

#include <cstdio>
#include <fstream>

namespace {

using namespace assay;

nlohmann::json read_json(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw DataError("{}: cannot be read", path);
  const nlohmann::json content = nlohmann::json::parse(file, nullptr, /*allow_exceptions=*/false);
  if (content.is_discarded()) throw DataError("{}: not JSON", path);
  return content;
}

int table(const std::vector<std::string>& paths,
          const std::vector<std::string>& facts,
          const std::string& json_path) {
  Measurements measurements;
  for (const std::string& path : paths) add_measurements(read_json(path), path, measurements);
  nlohmann::json machine = nlohmann::json::object();
  for (const std::string& fact : facts) {
    const std::size_t equals = std::min(fact.find('='), fact.size());
    machine[fact.substr(0, equals)] = fact.substr(std::min(equals + 1, fact.size()));
  }
  const nlohmann::json result =
      bench_result(machine, machine_rates(measurements), figures_of(measurements));
  std::fputs(bench_table(result).c_str(), stdout);
  if (!json_path.empty()) write_file_atomically(json_path, result.dump(1) + "\n");
  return 0;
}

int compare(const std::string& old_path, const std::string& new_path) {
  const Comparison comparison = compare_results(read_json(old_path), read_json(new_path));
  std::fputs(comparison.table.c_str(), stdout);
  return comparison.worse.empty() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("bench-table: the table of tools/bench.sh", "bench-table");
  app.require_subcommand(1);
  std::vector<std::string> paths, facts;
  std::string json_path, old_path, new_path;
  CLI::App* table_command = app.add_subcommand("table", "figures of one run");
  table_command->add_option("files", paths, "files of Google Benchmark")->required();
  table_command->add_option("--machine", facts, "KEY=VALUE, printed above the table")
      ->allow_extra_args(false);
  table_command->add_option("--json", json_path, "also write the figures here");
  CLI::App* compare_command = app.add_subcommand("compare", "what got worse; then exit 1");
  compare_command->add_option("old", old_path)->required();
  compare_command->add_option("new", new_path)->required();
  try {
    app.parse(argc, argv);
    return table_command->parsed() ? table(paths, facts, json_path) : compare(old_path, new_path);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 2;
  }
}
