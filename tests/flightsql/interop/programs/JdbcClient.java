import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Scanner;
import java.util.TreeMap;
import org.apache.arrow.driver.jdbc.shaded.com.fasterxml.jackson.databind.JsonNode;
import org.apache.arrow.driver.jdbc.shaded.com.fasterxml.jackson.databind.ObjectMapper;

/** The JDBC driver of Arrow: answers a request per line of its input with a line of its output, in JSON. */
public class JdbcClient {
    private static final ObjectMapper JSON = new ObjectMapper();
    private final Connection connection;

    JdbcClient(Connection connection) {
        this.connection = connection;
    }

    public static void main(String[] arguments) throws Exception {
        Properties properties = new Properties();
        properties.put("useEncryption", "false");
        String url = "jdbc:arrow-flight-sql://127.0.0.1:" + arguments[0];
        try (Connection connection = DriverManager.getConnection(url, properties);
                Scanner lines = new Scanner(System.in, "UTF-8")) {
            JdbcClient client = new JdbcClient(connection);
            while (lines.hasNextLine()) {
                System.out.println(JSON.writeValueAsString(client.answer(JSON.readTree(lines.nextLine()))));
            }
        }
    }

    private Map<String, Object> answer(JsonNode request) {
        try {
            return Map.of("rows", switch (request.get("ask").asText()) {
                case "rows" -> ask(request.get("sql").asText(), request.get("parameters"));
                case "tables" -> tables();
                case "columns" -> rows(connection.getMetaData().getColumns(null, "public", request.get("table").asText(), null));
                case "described" -> described(request.get("sql").asText());
                case "metadata" -> metadata();
                default -> throw new IllegalArgumentException(request.toString());
            });
        } catch (Exception | LinkageError e) {
            return Map.of("error", String.valueOf(e.getMessage()));
        }
    }

    private List<Object> ask(String sql, JsonNode parameters) throws SQLException {
        if (parameters.isEmpty()) {
            try (Statement statement = connection.createStatement(); ResultSet found = statement.executeQuery(sql)) {
                return rows(found);
            }
        }
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            for (int i = 0; i < parameters.size(); i++) {
                JsonNode value = parameters.get(i);
                if (value.isTextual()) {
                    statement.setString(i + 1, value.asText());
                } else {
                    statement.setLong(i + 1, value.asLong());
                }
            }
            try (ResultSet found = statement.executeQuery()) {
                return rows(found);
            }
        }
    }

    private List<Object> tables() throws SQLException {
        List<Object> names = new ArrayList<>();
        try (ResultSet found = connection.getMetaData().getTables(null, "public", "%", new String[] {"TABLE"})) {
            while (found.next()) {
                names.add(found.getString("TABLE_NAME"));
            }
        }
        return names;
    }

    /** What the driver tells of the columns of a result. */
    private List<Object> described(String sql) throws SQLException {
        List<Object> columns = new ArrayList<>();
        try (Statement statement = connection.createStatement(); ResultSet found = statement.executeQuery(sql)) {
            ResultSetMetaData told = found.getMetaData();
            for (int i = 1; i <= told.getColumnCount(); i++) {
                Map<String, Object> column = new LinkedHashMap<>();
                column.put("name", told.getColumnName(i));
                column.put("type", told.getColumnTypeName(i));
                column.put("table", told.getTableName(i));
                column.put("precision", told.getPrecision(i));
                column.put("scale", told.getScale(i));
                column.put("read_only", told.isReadOnly(i));
                columns.add(column);
            }
        }
        return columns;
    }

    /** What each method of DatabaseMetaData without arguments gives: a value, a number of rows, or an error. */
    private List<Object> metadata() throws Exception {
        Map<String, Object> told = new TreeMap<>();
        DatabaseMetaData metadata = connection.getMetaData();
        for (Method method : DatabaseMetaData.class.getDeclaredMethods()) {
            if (method.getParameterCount() == 0 && !method.getName().equals("getConnection")) {
                try {
                    Object value = method.invoke(metadata);
                    told.put(method.getName(), value instanceof ResultSet found ? rows(found).size() : plain(value));
                } catch (InvocationTargetException e) {
                    told.put(method.getName(), "error: " + e.getCause());
                }
            }
        }
        return List.of(told);
    }

    private static List<Object> rows(ResultSet found) throws SQLException {
        ResultSetMetaData columns = found.getMetaData();
        List<Object> rows = new ArrayList<>();
        while (found.next()) {
            Map<String, Object> row = new LinkedHashMap<>();
            for (int i = 1; i <= columns.getColumnCount(); i++) {
                row.put(columns.getColumnLabel(i), plain(found.getObject(i)));
            }
            rows.add(row);
        }
        return rows;
    }

    private static Object plain(Object value) {
        if (value instanceof byte[] bytes) {
            return HexFormat.of().formatHex(bytes);
        }
        return value == null || value instanceof Number || value instanceof Boolean ? value : value.toString();
    }
}
