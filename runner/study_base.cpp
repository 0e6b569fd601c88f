#include "runner/study_base.h"

#include "core/error.h"
#include "core/file.h"

#include <algorithm>
#include <vector>

namespace assay {
namespace {

std::string as_comment(const std::string& text) {
  std::string commented = "# ";
  for (const char c : text) {
    commented += c;
    if (c == '\n') commented += "# ";
  }
  return commented;
}

/// The file that `base` names, from the folder of the file where it stands.
std::filesystem::path base_path(const TomlNode& node, const std::filesystem::path& path) {
  if (node.kind != TomlNode::Kind::kString) {
    throw ConfigError("{}: 'base' is {}, expected a study file", node.place(),
                      kind_name(node.kind));
  }
  const std::string name = node.scalar;
  std::filesystem::path base = (path.parent_path() / name).lexically_normal();
  if (!std::filesystem::is_regular_file(base)) {
    throw ConfigError("{}: base '{}': there is no file {}", node.place(), name, base.string());
  }
  return base;
}

void read_base(const std::filesystem::path& path,
               std::vector<std::filesystem::path> seen,
               TomlNode& root,
               std::string& text) {
  const TomlNode* named = root.find("base");
  if (named == nullptr) return;
  const std::filesystem::path base = base_path(*named, path);
  seen.push_back(std::filesystem::weakly_canonical(path));
  if (std::ranges::count(seen, std::filesystem::weakly_canonical(base)) > 0) {
    throw ConfigError("{}: '{}' is its own base", named->place(), base.string());
  }
  const std::string content = read_file(base);
  TomlNode below = parse_toml(content, base.string());
  text += fmt::format("\n# base: {}\n{}", base.string(), as_comment(content));
  read_base(base, std::move(seen), below, text);
  std::erase_if(root.entries, [](const auto& entry) { return entry.first == "base"; });
  for (auto& entry : below.entries) {
    if (root.find(entry.first) == nullptr) root.entries.push_back(std::move(entry));
  }
}

}  // namespace

TomlNode parse_with_base(const std::filesystem::path& path, std::string& text) {
  TomlNode root = parse_toml(text, path.string());
  read_base(path, {}, root, text);
  return root;
}

}  // namespace assay
