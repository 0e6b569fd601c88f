#pragma once

#include "results/sqlite.h"

#include <cstdint>
#include <span>
#include <string>

namespace assay {

/// One step of a store from version `from` to `from + 1`.
struct Migration {
  std::int64_t from;
  std::string sql;
};

/// The tables of a store and how older ones become like them.
struct Schema {
  std::int64_t version;
  std::string sql;  ///< Creates an empty store of `version`.
  std::span<const Migration> migrations;
};

/// The schema of this build: `schema.sql`.
[[nodiscard]] const Schema& store_schema();

/// Makes `database` a store of `schema.version`, all or nothing: creates the tables in an empty
/// file; copies an older store to `<path>.v<N>.bak` and migrates it. Throws StoreError, naming both
/// versions, where it is newer or too old, and where the file is another program's database.
void bring_up_to_date(Database& database, const Schema& schema);

/// For a store that cannot be written: throws StoreError, as above, unless it is of
/// `schema.version`.
void check_version(Database& database, const Schema& schema);

}  // namespace assay
