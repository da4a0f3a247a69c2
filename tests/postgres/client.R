# R reads from `materia postgres`: client.R PORT KEY
suppressPackageStartupMessages({ library(DBI); library(RPostgreSQL) })
args <- commandArgs(trailingOnly = TRUE)
check <- function(promise, found, wanted) {
  if (!isTRUE(all.equal(found, wanted))) {
    cat("BROKEN", promise, "\n"); print(found); print(wanted); quit(status = 1)
  }
  cat("ok", promise, "\n")
}
connection <- dbConnect(PostgreSQL(), host = "127.0.0.1", port = as.integer(args[[1]]), dbname = "analytics", user = "anybody", password = args[[2]])
check("tables are listed", "psd" %in% dbListTables(connection), TRUE)
check("a table exists, another does not", c(dbExistsTable(connection, "psd"), dbExistsTable(connection, "nothing")), c(TRUE, FALSE))
check("columns are listed", dbListFields(connection, "psd"), c("year", "country", "value"))
rows <- dbGetQuery(connection, "SELECT id, boolean, small, big, double, text, date, timestamp FROM types ORDER BY id")
check("values have R's types", sapply(rows, function(column) class(column)[[1]]),
  c(id = "integer", boolean = "logical", small = "integer", big = "numeric", double = "numeric", text = "character", date = "Date", timestamp = "POSIXct"))
check("values are those of the table", list(rows$boolean, rows$double[[1]], rows$text[[1]], format(rows$date[[1]])), list(c(TRUE, FALSE, NA), -0.1, "ä'b\\c", "2024-02-29"))
check("a whole table is read", nrow(dbReadTable(connection, "psd")), 1000L)
result <- dbSendQuery(connection, "SELECT year, value FROM psd ORDER BY value")
check("rows come in portions", c(nrow(fetch(result, n = 10)), nrow(fetch(result, n = -1))), c(10L, 990L))
invisible(dbClearResult(result))
failed <- tryCatch(suppressWarnings(dbGetQuery(connection, "SELECT * FROM nothing")), error = function(error) conditionMessage(error))
check("an error names what is missing", is.null(failed) || grepl("nothing", failed), TRUE)
invisible(dbDisconnect(connection))
