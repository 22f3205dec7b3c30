// Sends spans, values of a counter and lines of a log by the OpenTelemetry SDK of Go, by the protocol that is its
// argument, to the endpoint that is its second one: "http://host:port".
package main

import (
	"context"
	"errors"
	"log"
	"os"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
)

const (
	nbRequests = 8
	nbQueries  = 3
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func exporters(ctx context.Context, protocol, endpoint string) (trace.SpanExporter, metric.Exporter) {
	if protocol == "grpc" {
		spans, err := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpointURL(endpoint), otlptracegrpc.WithCompressor("gzip"))
		check(err)
		values, err := otlpmetricgrpc.New(ctx, otlpmetricgrpc.WithEndpointURL(endpoint))
		check(err)
		return spans, values
	}
	spans, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(endpoint+"/v1/traces"),
		otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
	check(err)
	values, err := otlpmetrichttp.New(ctx, otlpmetrichttp.WithEndpointURL(endpoint+"/v1/metrics"))
	check(err)
	return spans, values
}

func main() {
	ctx := context.Background()
	spans, values := exporters(ctx, os.Args[1], os.Args[2])
	described, err := resource.New(ctx, resource.WithFromEnv(), resource.WithProcess(), resource.WithTelemetrySDK())
	check(err)
	tracers := trace.NewTracerProvider(trace.WithBatcher(spans), trace.WithResource(described))
	meters := metric.NewMeterProvider(metric.WithReader(metric.NewPeriodicReader(values)), metric.WithResource(described))
	tracer := tracers.Tracer("shop/go")
	requests, err := meters.Meter("shop/go").Int64Counter("requests")
	check(err)

	var all sync.WaitGroup
	for number := range nbRequests {
		all.Add(1)
		go func() {
			defer all.Done()
			ctx, request := tracer.Start(ctx, "request")
			request.SetAttributes(attribute.Int("number", number), attribute.Bool("even", number%2 == 0))
			for range nbQueries {
				_, query := tracer.Start(ctx, "query")
				query.AddEvent("sent")
				query.End()
			}
			if number == 3 {
				request.RecordError(errors.New("no good"))
				request.SetStatus(codes.Error, "it failed")
			}
			request.End()
			requests.Add(ctx, 1)
		}()
	}
	all.Wait()
	check(tracers.Shutdown(ctx))
	check(meters.Shutdown(ctx))
}
