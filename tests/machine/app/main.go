// Command app is the app of the machine test: a page that says who answers,
// takes its time or takes memory, or a worker that works without an end.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "worker" {
		for {
			fmt.Println("working")
			time.Sleep(time.Second)
		}
	}
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, os.Getenv("APP")) })
	http.HandleFunc("/slow", slow)
	http.HandleFunc("/take", take)
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil))
}

// slow sends as many bytes as the query's n says, one every tenth of a second.
func slow(w http.ResponseWriter, r *http.Request) {
	n, _ := strconv.Atoi(r.FormValue("n"))
	w.Header().Set("Content-Length", strconv.Itoa(n))
	for range n {
		if _, err := w.Write([]byte("x")); err != nil {
			return
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// held is the memory that was taken. It is never given back.
var (
	mu   sync.Mutex
	held [][]byte
)

// take takes as many megabytes as the query's mb says, and uses them.
func take(w http.ResponseWriter, r *http.Request) {
	n, _ := strconv.Atoi(r.FormValue("mb"))
	block := make([]byte, n<<20)
	for i := 0; i < len(block); i += 1 << 10 {
		block[i] = 1
	}
	mu.Lock()
	held = append(held, block)
	mu.Unlock()
	fmt.Fprint(w, n)
}
