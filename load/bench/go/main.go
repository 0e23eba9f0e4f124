// The application for Go's net/http: main -port N -files DIR -template FILE [-cert FILE -key FILE]
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"html/template"
	"io"
	"log"
	"net/http"
	"time"
)

type row struct {
	ID, Price int
	Name      string
}

type page struct {
	Title string
	Rows  []row
}

func text(w http.ResponseWriter, words string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	io.WriteString(w, words)
}

func ping(w http.ResponseWriter, r *http.Request) { text(w, "pong") }

func block(w http.ResponseWriter, r *http.Request) {
	time.Sleep(50 * time.Millisecond)
	text(w, "done")
}

func form(w http.ResponseWriter, r *http.Request) {
	text(w, r.PostFormValue("name")+", "+r.PostFormValue("city"))
}

func echo(w http.ResponseWriter, r *http.Request) {
	var value any
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &value)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	made, _ := json.Marshal(value)
	w.Header().Set("Content-Type", "application/json")
	w.Write(made)
}

func rows() page {
	shown := page{Title: "Twenty <rows>"}
	for n := 0; n < 20; n++ {
		shown.Rows = append(shown.Rows, row{ID: n, Name: fmt.Sprintf("Row %d & \"co\"", n), Price: n * 7})
	}
	return shown
}

func main() {
	port := flag.Int("port", 8080, "")
	files := flag.String("files", ".", "")
	file := flag.String("template", "", "")
	cert := flag.String("cert", "", "")
	key := flag.String("key", "", "")
	flag.Parse()
	made := template.Must(template.ParseFiles(*file))
	shown := rows()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ping", ping)
	mux.HandleFunc("GET /block", block)
	mux.HandleFunc("POST /json", echo)
	mux.HandleFunc("POST /form", form)
	mux.HandleFunc("GET /page", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		made.Execute(w, shown)
	})
	mux.Handle("GET /static/", http.StripPrefix("/static/", http.FileServer(http.Dir(*files))))
	address := fmt.Sprintf("127.0.0.1:%d", *port)
	if *cert != "" {
		// HTTP/1.1 alone, as everybody here.
		protocols := new(http.Protocols)
		protocols.SetHTTP1(true)
		server := &http.Server{Addr: address, Handler: mux, Protocols: protocols}
		log.Fatal(server.ListenAndServeTLS(*cert, *key))
	}
	log.Fatal(http.ListenAndServe(address, mux))
}
