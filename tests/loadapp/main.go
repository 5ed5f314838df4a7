// Command loadapp is the app of the load stories: a page that tells its
// version, a WebSocket echo and a slow download.
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
)

func main() {
	version, err := os.ReadFile("version")
	if err != nil {
		log.Fatal(err)
	}
	text := strings.TrimSpace(string(version))
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, text) })
	http.HandleFunc("/ws", echo)
	http.HandleFunc("/slow", slow)
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
