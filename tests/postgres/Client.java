import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Types;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Properties;
import java.util.UUID;

/** JDBC reads from `materia postgres` what the site's API has: java -cp postgresql.jar Client.java PORT KEY */
public class Client {
    interface Binding {
        void set(PreparedStatement statement) throws SQLException;
    }

    static void check(String promise, Object found, Object wanted) {
        if (!Objects.equals(found, wanted)) {
            System.out.println("BROKEN " + promise + ": " + found + ", not " + wanted);
            System.exit(1);
        }
        System.out.println("ok " + promise);
    }

    static List<String> rows(ResultSet set, String... columns) throws SQLException {
        List<String> rows = new ArrayList<>();
        while (set.next()) {
            List<String> row = new ArrayList<>();
            for (String column : columns) row.add(set.getString(column));
            rows.add(String.join("|", row));
        }
        return rows;
    }

    static void metadata(DatabaseMetaData about) throws SQLException {
        check("JDBC finds the schema", rows(about.getSchemas(), "TABLE_SCHEM").contains("serving"), true);
        check("JDBC finds the tables and their comments",
            rows(about.getTables(null, "serving", "%", new String[] {"TABLE", "VIEW"}), "TABLE_NAME", "TABLE_TYPE", "REMARKS"),
            List.of("psd|TABLE|Production, supply and distribution", "secret|TABLE|null", "types|TABLE|null"));
        check("JDBC finds the columns and their comments", rows(about.getColumns(null, "serving", "psd", "%"), "COLUMN_NAME", "TYPE_NAME", "REMARKS"),
            List.of("year|int4|the year of harvest", "country|text|null", "value|numeric|null"));
        List<String> types = rows(about.getColumns(null, null, "types", null), "COLUMN_NAME", "DATA_TYPE", "TYPE_NAME", "COLUMN_SIZE", "DECIMAL_DIGITS");
        for (String wanted : List.of("decimal|" + Types.NUMERIC + "|numeric|10|2", "ints|" + Types.ARRAY + "|_int4|10|0",
                "date|" + Types.DATE + "|date|13|0", "boolean|" + Types.BIT + "|bool|1|0", "struct|" + Types.OTHER + "|jsonb|2147483647|0"))
            check("JDBC knows the type " + wanted, types.contains(wanted), true);
        check("JDBC finds no primary key", rows(about.getPrimaryKeys(null, "serving", "psd"), "COLUMN_NAME"), List.of());
        check("JDBC finds no foreign keys", rows(about.getImportedKeys(null, "serving", "psd"), "FKCOLUMN_NAME"), List.of());
        check("JDBC finds no foreign keys to it", rows(about.getExportedKeys(null, "serving", "psd"), "FKCOLUMN_NAME"), List.of());
        check("JDBC finds no indexes", rows(about.getIndexInfo(null, "serving", "psd", false, false), "INDEX_NAME"), List.of());
        check("JDBC finds no procedures", rows(about.getProcedures(null, null, "%"), "PROCEDURE_NAME"), List.of());
        check("JDBC may only read", rows(about.getTablePrivileges(null, "serving", "psd"), "PRIVILEGE"), List.of("SELECT"));
        check("JDBC lists the types", rows(about.getTypeInfo(), "TYPE_NAME").contains("timestamptz"), true);
        check("JDBC lists keywords", about.getSQLKeywords().contains("ilike"), true);
        check("JDBC knows the length of names", about.getMaxColumnNameLength(), 63);
    }

    static void parameters(Connection connection) throws SQLException {
        Map<String, Binding> bindings = new LinkedHashMap<>();
        bindings.put("boolean = ?", statement -> statement.setBoolean(1, true));
        bindings.put("small = ?", statement -> statement.setShort(1, (short) 2));
        bindings.put("id = ?", statement -> statement.setInt(1, 1));
        bindings.put("big = ?", statement -> statement.setLong(1, 3));
        bindings.put("float = ?", statement -> statement.setFloat(1, 1.5f));
        bindings.put("double = ?", statement -> statement.setDouble(1, -0.1));
        bindings.put("decimal = ?", statement -> statement.setBigDecimal(1, new java.math.BigDecimal("12345.67")));
        bindings.put("text = ?", statement -> statement.setString(1, "ä'b\\c"));
        bindings.put("date = ?", statement -> statement.setDate(1, java.sql.Date.valueOf("2024-02-29")));
        bindings.put("date IN (?)", statement -> statement.setObject(1, java.time.LocalDate.parse("2024-02-29")));
        bindings.put("time = ?", statement -> statement.setObject(1, java.time.LocalTime.parse("10:00:00.5")));
        bindings.put("timestamp = ?", statement -> statement.setTimestamp(1, java.sql.Timestamp.valueOf("2024-02-29 10:00:00.123456")));
        bindings.put("timestamp IN (?)", statement -> statement.setObject(1, java.time.LocalDateTime.parse("2024-02-29T10:00:00.123456")));
        bindings.put("timestamptz = ?", statement -> statement.setObject(1, java.time.OffsetDateTime.parse("2024-02-29T10:00:00+02:00")));
        bindings.put("uuid = ?", statement -> statement.setObject(1, UUID.fromString("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")));
        bindings.put("blob = ?", statement -> statement.setBytes(1, new byte[] {(byte) 0xde, (byte) 0xad}));
        bindings.put("ints[1] = ANY(?)", statement -> statement.setArray(1, connection.createArrayOf("int4", new Object[] {1, 2})));
        for (Map.Entry<String, Binding> binding : bindings.entrySet()) {
            PreparedStatement statement = connection.prepareStatement("SELECT id FROM types WHERE " + binding.getKey());
            // From the fifth on, the driver prepares on the server and reads and sends binary values.
            for (int times = 0; times < 7; times++) {
                binding.getValue().set(statement);
                List<String> found = rows(statement.executeQuery(), "id");
                if (times == 0 || times == 6 || !found.equals(List.of("1"))) check("JDBC binds " + binding.getKey() + " for time " + times, found, List.of("1"));
            }
        }
        PreparedStatement nothing = connection.prepareStatement("SELECT id FROM types WHERE text = ?");
        nothing.setNull(1, Types.VARCHAR);
        check("JDBC binds NULL", rows(nothing.executeQuery(), "id"), List.of());
    }

    public static void main(String[] args) throws Exception {
        java.util.TimeZone.setDefault(java.util.TimeZone.getTimeZone("UTC"));
        Properties login = new Properties();
        login.setProperty("user", "anybody");
        login.setProperty("password", args[1]);
        try (Connection connection = DriverManager.getConnection("jdbc:postgresql://127.0.0.1:" + args[0] + "/analytics", login)) {
            metadata(connection.getMetaData());
            parameters(connection);
            connection.setAutoCommit(false);
            connection.setReadOnly(true);
            Statement cursor = connection.createStatement();
            cursor.setFetchSize(9);
            check("JDBC reads through a cursor", rows(cursor.executeQuery("SELECT year FROM psd"), "year").size(), 1000);
            connection.rollback();
            connection.setReadOnly(false);
            connection.setAutoCommit(true);
            Statement few = connection.createStatement();
            few.setMaxRows(5);
            check("JDBC reads a limited number of rows", rows(few.executeQuery("SELECT year FROM psd"), "year").size(), 5);
            java.sql.ResultSetMetaData columns = connection.prepareStatement("SELECT year, value FROM psd WHERE year > ?").getMetaData();
            check("JDBC knows a statement's columns", columns.getColumnTypeName(1) + " " + columns.getColumnTypeName(2), "int4 numeric");
            try {
                few.executeUpdate("INSERT INTO psd VALUES (1)");
                check("JDBC cannot write", "written", "refused");
            } catch (SQLException error) {
                check("JDBC cannot write", error.getSQLState(), "25006");
            }
            try {
                few.setQueryTimeout(1);
                few.executeQuery("SELECT count(*) FROM range(1000000000000) a");
                check("JDBC limits the time", "answered", "stopped");
            } catch (SQLException error) {
                check("JDBC limits the time", error.getSQLState(), "57014");
            }
            check("JDBC finds the connection valid", connection.isValid(5), true);
        }
    }
}
