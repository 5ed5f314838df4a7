// Command image is all there is in the images of the Docker story: a web
// server, a worker, and what one-off commands do.
package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// version is set at the build.
var version = "1"

func main() {
	if filepath.Base(os.Args[0]) == "sh" { // /bin/sh -c <line>: the line is one program's
		os.Args = append(os.Args[:1], strings.Fields(os.Args[2])[1:]...)
	}
	command := "web"
	if len(os.Args) > 1 {
		command = os.Args[1]
	}
	switch command {
	case "web":
		web()
	case "worker":
		fmt.Println("working with", os.Getenv("TOKEN"))
		<-signals()
	case "say":
		fmt.Println(strings.Join(os.Args[2:], " "))
	case "env":
		fmt.Println(os.Getenv(os.Args[2]))
	case "echo":
		if _, err := io.Copy(os.Stdout, os.Stdin); err != nil {
			log.Fatal(err)
		}
	case "exit":
		status, _ := strconv.Atoi(os.Args[2])
		os.Exit(status)
	case "fail":
		log.Fatal("out of flour")
	case "wait":
		fmt.Println("waiting")
		<-signals()
	default:
		log.Fatalf("there is no command %q", command)
	}
}

func signals() <-chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM, syscall.SIGINT)
	return c
}

// web answers until it is asked to end, and finishes what is under way.
func web() {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "version %s token %s release %s\n", cmp.Or(os.Getenv("VERSION"), version), os.Getenv("TOKEN"), os.Getenv("RELEASE"))
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(2 * time.Second) // longer than a deploy's switch
		fmt.Fprintln(w, "slow", version)
	})
	mux.HandleFunc("/take", func(http.ResponseWriter, *http.Request) {
		held := make([]byte, 256<<20)
		for n := 0; n < len(held); n += 1 << 10 {
			held[n] = 1
		}
	})
	mux.HandleFunc("/visits", visits)
	mux.HandleFunc("/user", func(w http.ResponseWriter, _ *http.Request) {
		status, _ := os.ReadFile("/proc/self/status")
		w.Write(status)
	})
	server := &http.Server{Addr: net.JoinHostPort(cmp.Or(os.Getenv("LISTEN"), os.Getenv("BIND_ADDRESS")), os.Getenv("PORT")), Handler: mux}
	go func() {
		fmt.Println("listening at", server.Addr)
		if err := server.ListenAndServe(); err != http.ErrServerClosed {
			log.Fatal(err)
		}
	}()
	<-signals()
	fmt.Println("asked to end")
	if err := server.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
}

// visits counts in a volume.
func visits(w http.ResponseWriter, _ *http.Request) {
	text, _ := os.ReadFile("/srv/data/visits")
	n, _ := strconv.Atoi(string(text))
	if err := os.WriteFile("/srv/data/visits", []byte(strconv.Itoa(n+1)), 0o644); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprintln(w, "visits", n+1)
}
