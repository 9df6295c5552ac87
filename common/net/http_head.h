#ifndef LH_NET_HTTP_HEAD_H
#define LH_NET_HTTP_HEAD_H

/*
 * http_head: the rules of single lines of a request head, for http_parse.c
 * only. Each function gets a whole line without its CRLF, which lies inside
 * parser->bytes, and fills parser->head.
 */

#include "common/net/http_parse.h"

/* 0, or -1 after http_head_refuse(). */
int http_head_request_line(
    struct http_parser *parser, struct slice line) MUST_CHECK;
int http_head_field_line(
    struct http_parser *parser, struct slice line) MUST_CHECK;
/* After the empty line: the rules over several fields. */
int http_head_finish(struct http_parser *parser) MUST_CHECK;
/* Sets error_status and error_reason; returns -1. */
int http_head_refuse(
    struct http_parser *parser, unsigned status, const char *reason);

/* tchar of RFC 9110 5.6.2. */
bool http_is_token_char(unsigned char c);
/* What a field value may hold: HTAB, SP, VCHAR, obs-text. */
bool http_is_value_char(unsigned char c);

#endif
