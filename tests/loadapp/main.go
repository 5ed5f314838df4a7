// Command loadapp is the app of the load stories: a page that tells its
// version, a WebSocket echo, a slow download, and a page that uses what browsers
// have.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"

	_ "embed"
)

//go:embed page.html
var page string

func main() {
	version, err := os.ReadFile("version")
	if err != nil {
		log.Fatal(err)
	}
	text := strings.TrimSpace(string(version))
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, text) })
	http.HandleFunc("/ws", echo)
	http.HandleFunc("/slow", slow)
	http.HandleFunc("/events", events)
	http.HandleFunc("/page", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, page) })
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil))
}

func echo(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer conn.CloseNow()
	for {
		kind, data, err := conn.Read(r.Context())
		if err != nil {
			return
		}
		if err := conn.Write(r.Context(), kind, data); err != nil {
			return
		}
	}
}

// events streams three server-sent events, and then waits for the client to
// leave.
func events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	for n := range 3 {
		fmt.Fprintf(w, "data: event %d\n\n", n+1)
		http.NewResponseController(w).Flush()
	}
	<-r.Context().Done()
}

// slow sends as many bytes as the query's n says, one every ten milliseconds.
func slow(w http.ResponseWriter, r *http.Request) {
	n, _ := strconv.Atoi(r.URL.Query().Get("n"))
	w.Header().Set("Content-Length", strconv.Itoa(n))
	for range n {
		if _, err := w.Write([]byte("x")); err != nil {
			return
		}
		http.NewResponseController(w).Flush()
		time.Sleep(10 * time.Millisecond)
	}
}
