/* The files of the playground as they lie on disk; the assembler finds them in the folders it is given. */
#define PAGE(name, path) \
    .balign 16; \
    .globl tenon_page_##name; \
    .hidden tenon_page_##name; \
    tenon_page_##name: .incbin path; \
    .globl tenon_page_##name##_end; \
    .hidden tenon_page_##name##_end; \
    tenon_page_##name##_end: .byte 0;
    .section .rodata
#include "serve/page_files.h"
    .section .note.GNU-stack,"",%progbits
