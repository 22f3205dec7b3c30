// arrow-go's Flight SQL client: answers a request per line of its input with a line of its output, in JSON.
package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const mostBytes = 1 << 30

type request struct {
	Ask        string `json:"ask"`
	SQL        string `json:"sql"`
	Parameters []any  `json:"parameters"`
}

func main() {
	client, err := flightsql.NewClient("127.0.0.1:"+os.Args[1], nil, nil,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(mostBytes)))
	if err != nil {
		panic(err)
	}
	defer client.Close()
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, mostBytes)
	output := json.NewEncoder(os.Stdout)
	output.SetEscapeHTML(false)
	for lines.Scan() {
		var wanted request
		rows, err := []any{}, json.Unmarshal(lines.Bytes(), &wanted)
		if err == nil {
			rows, err = answer(client, wanted)
		}
		if err != nil {
			output.Encode(map[string]any{"error": err.Error()})
		} else {
			output.Encode(map[string]any{"rows": rows})
		}
	}
}

func answer(client *flightsql.Client, wanted request) ([]any, error) {
	ctx := context.Background()
	switch {
	case wanted.Ask == "tables":
		schema := "public"
		info, err := client.GetTables(ctx, &flightsql.GetTablesOpts{DbSchemaFilterPattern: &schema, IncludeSchema: true})
		if err != nil {
			return nil, err
		}
		rows, err := fetch(ctx, client, info)
		names := make([]any, len(rows))
		for number, row := range rows {
			names[number] = row.(map[string]any)["table_name"]
		}
		return names, err
	case wanted.Ask == "rows" && len(wanted.Parameters) == 0:
		info, err := client.Execute(ctx, wanted.SQL)
		if err != nil {
			return nil, err
		}
		return fetch(ctx, client, info)
	case wanted.Ask == "rows":
		return askPrepared(ctx, client, wanted)
	}
	return nil, fmt.Errorf("no such request: %v", wanted)
}

func askPrepared(ctx context.Context, client *flightsql.Client, wanted request) ([]any, error) {
	statement, err := client.Prepare(ctx, wanted.SQL)
	if err != nil {
		return nil, err
	}
	defer statement.Close(ctx)
	parameters := batchOf(wanted.Parameters)
	defer parameters.Release()
	statement.SetParameters(parameters)
	info, err := statement.Execute(ctx)
	if err != nil {
		return nil, err
	}
	return fetch(ctx, client, info)
}

func batchOf(values []any) arrow.Record {
	fields := make([]arrow.Field, len(values))
	columns := make([]arrow.Array, len(values))
	for number, value := range values {
		fields[number].Name = fmt.Sprint(number)
		switch value := value.(type) {
		case string:
			builder := array.NewStringBuilder(memory.DefaultAllocator)
			builder.Append(value)
			columns[number] = builder.NewArray()
		case float64: // as JSON has integers
			builder := array.NewInt64Builder(memory.DefaultAllocator)
			builder.Append(int64(value))
			columns[number] = builder.NewArray()
		default:
			panic(fmt.Sprintf("a parameter of type %T", value))
		}
		fields[number].Type = columns[number].DataType()
	}
	return array.NewRecord(arrow.NewSchema(fields, nil), columns, 1)
}

// fetch reads all endpoints. Binary is written in hexadecimal digits.
func fetch(ctx context.Context, client *flightsql.Client, info *flight.FlightInfo) ([]any, error) {
	rows := []any{}
	for _, endpoint := range info.Endpoint {
		reader, err := client.DoGet(ctx, endpoint.Ticket)
		if err != nil {
			return nil, err
		}
		defer reader.Release()
		for reader.Next() {
			batch := reader.Record()
			for row := range int(batch.NumRows()) {
				values := map[string]any{}
				for number, column := range batch.Columns() {
					if binary, isBinary := column.(*array.Binary); isBinary && binary.IsValid(row) {
						values[batch.ColumnName(number)] = hex.EncodeToString(binary.Value(row))
					} else {
						values[batch.ColumnName(number)] = column.GetOneForMarshal(row)
					}
				}
				rows = append(rows, values)
			}
		}
		if reader.Err() != nil {
			return nil, reader.Err()
		}
	}
	return rows, nil
}
