// Serves MongoDB's protocol on PostgreSQL with the DocumentDB extension, for tests that need a
// database. FerretDB's own program refuses to run when built outside of its repository, so this
// is its embeddable package with flags, and a way to ask whether a server answers.
// scripts/services builds and starts it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/FerretDB/FerretDB/v2/ferretdb"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

func main() {
	postgres := flag.String("postgres", "", "URL of the PostgreSQL server that keeps the data")
	listen := flag.String("listen", "", "host:port to serve MongoDB's protocol on")
	state := flag.String("state", "", "folder for its own small state")
	ping := flag.String("ping", "", "MongoDB URI: ask that server for an answer from its storage")
	flag.Parse()

	if err := run(*postgres, *listen, *state, *ping); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(postgres, listen, state, ping string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()

	switch {
	case ping != "":
		return ask(ctx, ping)
	case postgres == "" || listen == "" || state == "":
		return errors.New("-postgres, -listen and -state are needed together; see -help")
	}
	return serve(ctx, postgres, listen, state)
}

func serve(ctx context.Context, postgres, listen, state string) error {
	telemetry := false
	server, err := ferretdb.New(&ferretdb.Config{
		PostgreSQLURL: postgres,
		ListenAddr:    listen,
		StateDir:      state,
		LogLevel:      slog.LevelWarn,
		LogOutput:     os.Stderr,
		Telemetry:     &telemetry,
	})
	if err != nil {
		return err
	}
	server.Run(ctx)
	return nil
}

// ask fails when the server does not answer. `hello`, which a connection begins with, comes from
// the front alone; looking for a document reaches the storage.
func ask(ctx context.Context, uri string) error {
	const patience = 5 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()

	client, err := mongo.Connect(options.Client().ApplyURI(uri).SetServerSelectionTimeout(patience))
	if err != nil {
		return err
	}
	defer func() { _ = client.Disconnect(context.Background()) }()

	err = client.Database("notice_services").Collection("none").FindOne(ctx, bson.D{}).Err()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil
	}
	return err
}
