// Command idleapp answers every request with the variable COLOUR. It waits
// BOOT_MS milliseconds before it listens.
package main

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"time"
)

func main() {
	boot, _ := strconv.Atoi(os.Getenv("BOOT_MS")) // not set: at once
	time.Sleep(time.Duration(boot) * time.Millisecond)
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, os.Getenv("COLOUR")) })
	if err := http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
